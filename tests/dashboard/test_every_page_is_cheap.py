"""What each page that the guards open to a clerk costs: none is forgotten."""

import io
import re
from ipaddress import ip_network

import pytest

from smsgw.core.accounts import crms
from smsgw.core.accounts.roles import CLERK, VIEWER
from smsgw.core.devices import limits, registry
from smsgw.core.webhooks import deliveries, endpoints, urls
from smsgw.dashboard import findings

from ..conftest import NOW
from .cheap import check_cheap
from .conftest import Browser, Office

THEIRS = "+4915112345671"
# The first leads to another page; the others answer whatever is asked for.
NO_PAGES = {"dashboard.home", "dashboard.missing", "dashboard.static_file"}


@pytest.fixture
def arguments(office: Office, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the URLs of pages name: one of each kind."""
    # What is wrong is not looked at again between the two times that a page is asked for.
    monkeypatch.setattr(findings, "KEPT_SECONDS_IF_WRONG", findings.KEPT_SECONDS)
    webhook_id = add_webhook(office)
    limit_phone(office)
    exchange_messages(office)
    browser = office.browser(CLERK)
    bulk_id = upload(browser)
    browser.send(f"/admin/bulk/sheet/{bulk_id}/queue")
    message_id = re.findall(r"/admin/messages/(msg_\w+)", browser.get("/admin/messages").text)[-1]
    with office.world.database.reading() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        delivery_id = deliveries.page(session, endpoint, None, None, 1)[0][0]["id"]
    return {
        "message_id": message_id,
        "key": THEIRS,
        "device_id": "phone-1",
        "bulk_id": bulk_id,
        "sheet_id": upload(browser),
        "crm_id": office.world.crm_id,
        "webhook_id": webhook_id,
        "delivery_id": delivery_id,
    }


def add_webhook(office: Office) -> str:
    url = urls.checked("http://127.0.0.1:9/hook", (ip_network("127.0.0.0/8"),))
    with office.world.database.transaction() as session:
        crm = crms.get(session, office.world.crm_id)
        return endpoints.add(session, crm, url, most=10, now=NOW)[0].id


def limit_phone(office: Office) -> None:
    """Gives the phone one limit of each kind."""
    with office.world.database.transaction() as session:
        phone = registry.get(session, "phone-1")
        for name in limits.NAMES:
            setattr(phone, name, 1000)


def exchange_messages(office: Office) -> None:
    world, body = office.world, {"to": THEIRS, "content": "Hello"}
    world.client.post("/api/v1/messages", json=body, headers=world.as_crm())
    message = {"id": "1", "from": THEIRS, "content": "Hi", "sms_sent": 0, "sms_received": 1}
    world.client.post("/api/sms", json={"messages": [message]}, headers=world.as_device())


def upload(browser: Browser) -> str:
    """Uploads a file and returns the id of its sheet."""
    browser.get("/admin/bulk")
    fields = browser.form("/admin/bulk/upload").fields
    file = io.BytesIO(b"to,content\n+4915112345670,Hello\n")
    browser.post("/admin/bulk/upload", {**fields, "file": (file, "list.csv")})
    browser.get(browser.page.headers["Location"])
    return browser.page.request.path.rpartition("/")[2]


def paths(office: Office, arguments: dict[str, str]) -> list[str]:
    """The pages that a clerk may open."""
    app = office.world.app
    found = []
    for rule in app.url_map.iter_rules():
        guard = getattr(app.view_functions[rule.endpoint], "guard", None)
        is_page = rule.rule.startswith("/admin") and "GET" in (rule.methods or ())
        if is_page and guard in (VIEWER, CLERK) and rule.endpoint not in NO_PAGES:
            path = re.sub("<(.+?)>", lambda name: arguments[name[1]], rule.rule)
            found.append(f"{path}?seen=x" if path.endswith("/news") else path)
    return found


def test_every_page_that_a_clerk_may_open_costs_little(office: Office, arguments: dict[str, str]):
    found = paths(office, arguments)
    assert len(found) > 25
    later = f"/admin/messages?cursor={arguments['message_id']}"
    for path in (*found, later, "/admin/messages?q=hello", "/admin/messages?status=received"):
        check_cheap(office, path, CLERK)
