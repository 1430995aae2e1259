"""`/docs` in a real browser: it works under its content security policy and asks nobody else."""

import pytest

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.store.db import Database

from ..running import serving
from .looking import look_at, look_at_themes


@pytest.fixture(scope="module")
def server(tmp_path_factory, sqlite_template):
    folder = tmp_path_factory.mktemp("docs")
    path = folder / "smsgw.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}")
    with database.transaction() as session:
        _, key = crms.add(session, "clinic", None, clock.now())
    database.close()
    with serving(folder, f"sqlite:///{path}", SMSGW_WORKERS="1", SMSGW_THREADS="4") as running:
        running.key = key
        yield running


def test_the_page_shows_the_api_and_asks_no_other_server(server, page):
    page.goto(f"{server.url}/docs")
    page.get_by_text("Send an SMS", exact=True).wait_for()
    assert page.faults == []
    assert page.asked
    assert all(url.startswith((server.url, "data:", "blob:")) for url in page.asked)


def test_an_sms_can_be_sent_from_the_page(server, page):
    page.goto(f"{server.url}/docs")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".modal-ux input").first.fill(server.key)
    page.locator(".modal-ux button.authorize").first.click()
    page.locator(".modal-ux .close-modal").click()
    page.get_by_text("Send an SMS", exact=True).click()
    page.get_by_role("button", name="Try it out").click()
    page.locator("textarea").first.fill('{"to": "+12025550123", "content": "from the page"}')
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table .response-col_status", has_text="202").first.wait_for()
    assert page.faults == []


def test_the_pages_on_the_sockets_can_be_read(server, page):
    page.goto(f"{server.url}/docs/rabbitmq")
    page.get_by_role("main").get_by_role("link", name="CRM WebSocket API").click()
    page.get_by_role("heading", name="CRM WebSocket API").wait_for()
    page.get_by_role("link", name="MySMSAPio").click()
    page.get_by_role("cell", name="POST /api/v1/gateway/heartbeat").wait_for()
    assert page.faults == []
    assert all(url.startswith((server.url, "data:")) for url in page.asked)


def test_the_page_at_the_root_leads_to_the_docs(server, page):
    page.goto(server.url)
    page.get_by_role("link", name="API documentation").click()
    page.get_by_text("Send an SMS", exact=True).wait_for()
    assert page.faults == []


@pytest.mark.parametrize(("path", "name"), [("/", "front"), ("/docs/webhooks", "docs-guide")])
def test_the_pages_look_as_the_dashboard_does(server, page, axe, path, name):
    page.goto(f"{server.url}{path}")
    look_at(page, name, axe)


def test_the_viewer_follows_the_theme_and_needs_no_scrolling_sideways(server, page):
    page.goto(f"{server.url}/docs")
    page.get_by_text("Send an SMS", exact=True).wait_for()
    grounds = "[document.body, document.querySelector('.swagger-ui')].map(e => getComputedStyle(e).backgroundColor)"
    for _theme in look_at_themes(page, "docs-api"):
        body, viewer = page.evaluate(grounds)
        assert viewer in (body, "rgba(0, 0, 0, 0)")
