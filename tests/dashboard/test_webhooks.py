"""The pages about webhooks: finding why one fails, checking signatures, and acting on them."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from smsgw import clock
from smsgw.core.accounts import operators
from smsgw.core.accounts.roles import CLERK
from smsgw.core.webhooks import claiming, deliveries, endpoints, settling
from smsgw.core.webhooks.due import FreeThreads
from smsgw.core.webhooks.outcomes import RetryRule
from smsgw.core.webhooks.retries import AttemptResult
from smsgw.core.webhooks.settling import Finished
from smsgw.http.context import EXTENSION
from smsgw.store.models import Event

from ..conftest import NOW
from .cheap import check_cheap
from .conftest import Office, text_of

URL = "http://127.0.0.1:9/hook"
BROKER = "amqp://admin:hunter22@127.0.0.1:9/crm"
HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\u202egnp +4915112345670"


@pytest.fixture
def office(office: Office) -> Office:
    """One whose webhooks may go to this machine."""
    services = office.world.app.extensions[EXTENSION]
    networks = (ip_network("127.0.0.0/8"),)
    services.settings = replace(services.settings, webhook_allowed_networks=networks)
    return office


def add(office: Office, crm_name: str = "clinic") -> tuple[str, str]:
    """Adds a webhook by the form and returns its id and its secret."""
    browser = office.browser("operator")
    browser.get("/admin/webhooks")
    page = browser.send("/admin/webhooks/add", url=URL, crm=crm_name)
    secret = page.text.partition('<pre tabindex="0">')[2].partition("<")[0]
    assert secret.startswith("whsec_"), page.text
    with office.world.database.reading() as session:
        return endpoints.everyone(session)[-1].id, secret


def queue(office: Office, content: str = "Hello") -> None:
    body = {"to": "+4915112345670", "content": content, "reference": "r-1"}
    client = office.world.client
    assert (
        client.post("/api/v1/messages", json=body, headers=office.world.as_crm()).status_code < 300
    )
    assert client.post("/api/sms", json={}, headers=office.world.as_device()).status_code == 200


def answer(office: Office, status_code: int, text: str = "") -> None:
    """Settles everything that is due as if the receiver had answered this."""
    now = clock.now()
    result = AttemptResult(
        started_at=now, duration_seconds=0.1234, status_code=status_code, response_text=text
    )
    rule = RetryRule(office.world.settings.webhook_retry_schedule, lambda: 0.5)
    with office.world.database.transaction() as session:
        claimed = claiming.take(session, FreeThreads(10, 10), now + timedelta(minutes=1), now)
        ended = [Finished(one.endpoint_id, one.delivery_id, one.claim, result) for one in claimed]
        settling.settle(session, ended, rule, now)


def delivery_of(office: Office, webhook_id: str) -> str:
    """The newest delivery."""
    with office.world.database.reading() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        return deliveries.page(session, endpoint, None, None, 1)[0][0]["id"]


def sent(office: Office, webhook_id: str) -> tuple[str, str]:
    """The id and the body of the event of the newest delivery."""
    with office.world.database.reading() as session:
        found = deliveries.get_any(session, delivery_of(office, webhook_id))
        body = session.query(Event.body).filter(Event.id == found.event_id).scalar()
        return found.event_id, body


def signed(key: bytes, content: str) -> str:
    digest = hmac.digest(key, content.encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def check(office: Office, webhook_id: str, role: str = "viewer", **fields: str) -> str:
    """What the form says about these headers and this body."""
    browser = office.browser(role)
    browser.get(f"/admin/webhooks/{webhook_id}")
    page = browser.send(f"/admin/webhooks/{webhook_id}/check", **fields)
    for name, value in fields.items():
        kept = browser.form(f"/admin/webhooks/{webhook_id}/check").fields[name]
        assert kept.strip() == value.strip()
    return text_of(page)


def headers(event_id: str, signature: str, timestamp: int | str | None = None) -> dict[str, str]:
    moment = int(clock.now().timestamp()) if timestamp is None else timestamp
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": signature,
    }


def test_without_a_webhook_the_list_says_how_to_add_one(office: Office):
    page = text_of(office.browser("operator").get("/admin/webhooks"))
    assert "There is no webhook yet. Add the URL of your program below" in page
    assert "An operator adds them" in text_of(office.browser("clerk").get("/admin/webhooks"))


def test_the_secret_of_a_new_webhook_is_shown_once(office: Office):
    webhook_id, secret = add(office)
    with office.world.database.transaction() as session:
        endpoints.get_any(session, webhook_id).url = BROKER
    browser = office.browser("operator")
    for path in ("/admin/webhooks", f"/admin/webhooks/{webhook_id}"):
        page = browser.get(path).text
        assert secret not in page
        assert "hunter22" not in page
        assert "***@127.0.0.1:9" in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": ""}, "http"),
        ({"url": "ftp://example.org"}, "http"),
        ({"url": "http://10.0.0.1/x"}, "10.0.0.1"),
        ({"url": "https://" + "x" * 3000}, "2,048 characters"),
        ({"url": URL, "crm": "nobody"}, "No CRM"),
        ({"url": URL, "events": "message.lost"}, "There is no event"),
        ({"url": URL, "device_ids": "nope"}, "There is no device"),
    ],
)
def test_a_webhook_that_cannot_be_added_is_refused_beside_what_was_typed(office, fields, words):
    browser = office.browser("operator")
    browser.get("/admin/webhooks")
    page = browser.send("/admin/webhooks/add", **fields)
    assert page.status_code in (404, 422)
    assert words in text_of(page)
    assert browser.form("/admin/webhooks/add").fields["url"] == fields["url"]


def test_a_developer_finds_why_a_webhook_answers_401(office: Office):
    webhook_id, secret = add(office)
    queue(office, "Grüße")
    answer(office, 401, "bad signature")
    browser = office.browser("viewer")
    assert "failing" in text_of(browser.get("/admin/webhooks"))
    page = text_of(browser.get(f"/admin/webhooks/{webhook_id}"))
    assert "Failing since" in page
    assert "HTTP 401 after 123 ms" in page
    assert "The receiver takes the signature for a wrong one" in page
    event_id, body = sent(office, webhook_id)
    moment = int(clock.now().timestamp())
    content = f"{event_id}.{moment}.{body}"
    right = headers(event_id, signed(key_of(secret), content), moment)
    assert "The signature is right: the newest secret" in check(
        office, webhook_id, **right, body=body
    )
    text_as_key = headers(event_id, signed(secret.encode(), content), moment)
    said = check(office, webhook_id, **text_as_key, body=body)
    assert "text was used as the key: leave out whsec_" in said.replace("&#39;", "'")
    rewritten = json.dumps(json.loads(body))
    said = check(office, webhook_id, **right, body=rewritten)
    assert "The signature is right for the body that was sent, and this body is another" in said
    stranger = headers(event_id, signed(b"x" * 32, content), moment)
    said = check(office, webhook_id, **stranger, body=body)
    assert "The body is what was sent, but none of the endpoint" in said
    assert secret not in said


def test_other_mistakes_in_a_signature_are_named(office: Office):
    webhook_id, secret = add(office)
    key, body, moment = key_of(secret), '{"a":1}', int(clock.now().timestamp())
    hexadecimal = hmac.digest(key, f"evt_1.{moment}.{body}".encode(), hashlib.sha256).hex()
    cases = {
        "the body alone was signed": headers("evt_1", signed(key, body)),
        "webhook-id was left out": headers("evt_1", signed(key, f"{moment}.{body}"), moment),
        "hexadecimal": headers("evt_1", hexadecimal, moment),
        "milliseconds": headers("evt_1", signed(key, body), moment * 1000),
        "no number of seconds": headers("evt_1", signed(key, body), "2026-01-31T12:00:00Z"),
        "more than 5 minutes off": headers("evt_1", signed(key, f"evt_1.1.{body}"), 1),
        "sent no event with this webhook-id": headers("evt_1", "v1,AAAA"),
        "Paste this too": headers("", "v1,AAAA"),
    }
    for words, given in cases.items():
        assert words.lower() in check(office, webhook_id, **given, body=body).lower(), words
    hostile = headers(HOSTILE, HOSTILE, HOSTILE)
    browser = office.browser("viewer")
    browser.get(f"/admin/webhooks/{webhook_id}")
    page = browser.send(f"/admin/webhooks/{webhook_id}/check", **hostile, body=HOSTILE)
    assert page.status_code == 200
    assert "<script>alert" not in page.text


def test_headers_may_be_pasted_with_their_names_and_several_signatures(office: Office):
    webhook_id, old = add(office)
    browser = office.browser("operator")
    browser.get(f"/admin/webhooks/{webhook_id}")
    page = browser.send(f"/admin/webhooks/{webhook_id}/rotate", grace_hours="24")
    assert old not in page.text
    moment = int(clock.now().timestamp())
    by_old = signed(key_of(old), f"evt_1.{moment}.{{}}")
    given = headers("webhook-id: evt_1", f"webhook-signature: v1,AAAA {by_old}", moment)
    said = check(office, webhook_id, **given, body="{}\n")
    assert "an older secret of this webhook made it" in said
    assert "it signs until" in said


def test_a_secret_that_has_leaked_ends_at_once(office: Office):
    webhook_id, old = add(office)
    browser = office.browser("operator")
    browser.get(f"/admin/webhooks/{webhook_id}")
    browser.send(f"/admin/webhooks/{webhook_id}/rotate", grace_hours="0")
    given = headers("evt_1", signed(key_of(old), f"evt_1.{1}.{{}}"), 1)
    assert "none of the endpoint" in check(office, webhook_id, **given, body="{}").lower()
    browser.get(f"/admin/webhooks/{webhook_id}")
    page = browser.send(f"/admin/webhooks/{webhook_id}/rotate", grace_hours="-5")
    assert page.status_code == 422


def test_a_delivery_shows_what_was_sent_and_answered_to_each_as_far_as_allowed(office: Office):
    webhook_id, _ = add(office)
    queue(office, "Call\n015112345670 or \u202e+4915112345670")
    answer(office, 500, HOSTILE + " " + "z" * 3000)
    path = f"/admin/deliveries/{delivery_of(office, webhook_id)}"
    event_id, body = sent(office, webhook_id)
    whole = office.browser("operator").get(path)
    shown = text_of(whole).replace("&#34;", '"').replace("&#39;", "'")
    assert body.replace("\n", " ").replace("\u202e", r"\u202e") in shown
    assert f"webhook-id: {event_id}" in shown
    assert "webhook-signature: v1," in shown
    assert "HTTP 500" in shown
    assert "The first 1,000 characters." in shown
    assert "z" * 950 not in shown.replace(HOSTILE, "")
    assert "<script>alert" not in whole.text
    masked = office.browser("viewer").get(path).text
    assert "12345670" not in masked
    assert "v1,…" in masked


def test_a_delivery_is_sent_again(office: Office):
    webhook_id, _ = add(office)
    queue(office)
    answer(office, 204)
    delivery_id = delivery_of(office, webhook_id)
    browser = office.browser("operator")
    assert "Delivered at" in text_of(browser.get(f"/admin/deliveries/{delivery_id}"))
    page = browser.send(f"/admin/deliveries/{delivery_id}/replay")
    assert "The event is sent again." in text_of(page)
    news = page.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(news).status_code == 204
    answer(office, 204)
    assert "Delivered at" in text_of(browser.get(news))


def test_a_test_event_is_made_and_its_delivery_shown(office: Office):
    webhook_id, _ = add(office)
    browser = office.browser("operator")
    browser.get(f"/admin/webhooks/{webhook_id}")
    page = text_of(browser.send(f"/admin/webhooks/{webhook_id}/test"))
    assert "A test event was made." in page
    assert "webhook.ping" in page
    assert "Not sent yet" in page


def test_a_disabled_webhook_is_enabled_and_what_it_missed_is_recovered(office: Office):
    webhook_id, _ = add(office)
    browser, path = office.browser("operator"), f"/admin/webhooks/{webhook_id}"
    browser.get(path)
    assert "Disabled by hand since" in text_of(browser.send(f"{path}/disable"))
    queue(office)
    assert "The webhook is enabled." in text_of(browser.send(f"{path}/enable"))
    assert "1 event is sent again." in text_of(browser.send(f"{path}/recover", hours="1"))
    assert "Nothing was missed" in text_of(browser.send(f"{path}/recover", hours="1"))
    for wrong in ("", "0", "-1", "1e3", "99999999", "²"):
        browser.get(path)
        assert browser.send(f"{path}/recover", hours=wrong).status_code == 422


def test_a_removed_webhook_is_gone_with_its_deliveries(office: Office):
    webhook_id, _ = add(office)
    queue(office)
    delivery_id = delivery_of(office, webhook_id)
    browser = office.browser("operator")
    browser.get(f"/admin/webhooks/{webhook_id}")
    page = browser.send(f"/admin/webhooks/{webhook_id}/remove")
    assert "The webhook was removed." in text_of(page)
    assert browser.get(f"/admin/webhooks/{webhook_id}").status_code == 404
    assert browser.get(f"/admin/deliveries/{delivery_id}").status_code == 404


def test_failing_webhooks_come_first_then_disabled_ones(office: Office):
    works, fails, disabled = (add(office)[0] for _ in range(3))
    with office.world.database.transaction() as session:
        endpoints.get_any(session, fails).failing_since = NOW
        endpoints.disable(session, endpoints.get_any(session, disabled), NOW)
        endpoints.get_any(session, works).last_success_at = NOW
    page = office.browser("viewer").get("/admin/webhooks").text
    assert page.index(fails) < page.index(disabled) < page.index(works)


def test_the_deliveries_are_listed_page_by_page_and_by_status(office: Office):
    webhook_id, _ = add(office)
    with office.world.database.transaction() as session:
        for _ in range(51):
            deliveries.ping(session, endpoints.get_any(session, webhook_id), clock.now())
    browser = office.browser("viewer")
    page = browser.get(f"/admin/webhooks/{webhook_id}?status=pending")
    assert page.text.count('id="delivery-') == 50
    older = page.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(older).text.count('id="delivery-') == 1
    page = browser.get(f"/admin/webhooks/{webhook_id}?status=delivered")
    assert "There is no such delivery." in text_of(page)
    assert browser.get(f"/admin/webhooks/{webhook_id}?status=x&cursor=%00").status_code < 500


def test_a_clerk_sees_the_webhooks_of_the_clerks_crms_alone(office: Office):
    webhook_id, _ = add(office)
    queue(office)
    delivery_id = delivery_of(office, webhook_id)
    office.world.add_crm("other")
    with office.world.database.transaction() as session:
        office.keys["theirs"] = operators.add(session, "theirs", NOW, CLERK, ["other"])
    browser = office.browser("theirs")
    assert webhook_id not in browser.get("/admin/webhooks").text
    for path in (
        f"/admin/webhooks/{webhook_id}",
        f"/admin/deliveries/{delivery_id}",
        f"/admin/deliveries/{delivery_id}/news",
    ):
        assert browser.get(path).status_code == 404


def test_a_message_and_a_finding_lead_to_the_webhook(office: Office):
    webhook_id, _ = add(office)
    queue(office)
    delivery_id = delivery_of(office, webhook_id)
    client, world = office.world.client, office.world
    message = client.get("/api/v1/messages", headers=world.as_crm()).json["data"][0]
    browser = office.browser("viewer")
    assert (
        f"/admin/deliveries/{delivery_id}" in browser.get(f"/admin/messages/{message['id']}").text
    )
    with world.database.transaction() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        endpoints.disable_and_announce(session, endpoint, "the receiver answered 410 Gone", NOW)
    assert f"/admin/webhooks/{webhook_id}" in browser.get("/admin/overview").text
    assert "Switched off since" in text_of(browser.get(f"/admin/webhooks/{webhook_id}"))


def test_a_page_about_webhooks_costs_little(office: Office):
    webhook_id, _ = add(office)
    for _ in range(3):
        add(office)
        queue(office)
    answer(office, 401)
    delivery_id = delivery_of(office, webhook_id)
    for path in ("webhooks", f"webhooks/{webhook_id}", f"deliveries/{delivery_id}"):
        page: Any = check_cheap(office, f"/admin/{path}")
    news = page.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert check_cheap(office, news, role="viewer", most=3).status_code == 204


def test_the_url_and_the_events_of_a_webhook_are_changed_on_its_page(office: Office):
    webhook_id, _ = add(office)
    browser = office.browser("operator")
    path = f"/admin/webhooks/{webhook_id}"
    browser.get(path)
    page = browser.send(f"{path}/change", url=URL + "2", events="message.sent")
    assert f"{URL}2" in page.text
    assert "Events message.sent Devices" in text_of(page)
    assert browser.send(f"{path}/change", url="ftp://elsewhere").status_code == 422
    browser.get(path)
    assert browser.send(f"{path}/change", events="no.such").status_code == 422


def test_a_password_in_a_url_stays_where_only_the_events_are_changed(office: Office):
    webhook_id, _ = add(office)
    with office.world.database.transaction() as session:
        endpoints.get_any(session, webhook_id).url = BROKER
    browser = office.browser("operator")
    path = f"/admin/webhooks/{webhook_id}"
    browser.get(path)
    assert "hunter22" not in browser.send(f"{path}/change", events="message.sent").text
    with office.world.database.reading() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        assert (endpoint.url, endpoint.events) == (BROKER, ["message.sent"])
