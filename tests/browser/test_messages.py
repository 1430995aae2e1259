"""The pages about messages in a real browser."""

import pytest

from .conftest import Site

TEXTS = (
    "Your appointment is tomorrow at 10:30. Reply YES to confirm.",
    "\u202eevil\u202c <b>bold</b> zero\u200bwidth {{ 7*7 }}",
    "x" * 1600,
    "Grüße aus Köln 👋🏽",
)


@pytest.fixture
def filled(site: Site) -> Site:
    """A site with messages on their way, a failed one, and a long one that came in."""
    client, world = site.world.client, site.world
    for n, text in enumerate(TEXTS):
        body = {"to": f"+49151123456{n}0", "content": text, "reference": f"order-{n}"}
        assert client.post("/api/v1/messages", json=body, headers=world.as_crm()).status_code == 202
    handed = client.post("/api/sms", json={}, headers=world.as_device()).json["messages"]
    updates = [
        {"id": handed[0]["id"], "status": "FAILED", "reason": "generic failure"},
        {"id": handed[1]["id"], "status": "SENT"},
    ]
    message = {
        "id": "1",
        "from": "+4915112345699",
        "content": "y" * 40_000,
        "sms_sent": 0,
        "sms_received": 1,
    }
    body = {"updates": updates, "messages": [message]}
    assert client.post("/api/sms", json=body, headers=world.as_device()).status_code == 200
    return site


def test_the_list_of_messages(filled: Site):
    filled.open("/admin/messages?since=2020-01-01", "operator")
    filled.look("messages")


def test_a_list_without_messages(site: Site):
    site.open("/admin/messages", "viewer")
    site.look("messages-empty")


def test_a_message_that_failed_is_found_and_resent(filled: Site):
    page = filled.open("/admin/messages", "clerk")
    page.get_by_label("Status", exact=True).select_option("failed")
    page.get_by_role("button", name="Search").click()
    page.locator("tbody a").first.click()
    page.get_by_text("generic failure").first.wait_for()
    filled.look("message")
    page.get_by_role("button", name="Resend").click()
    page.get_by_text("The message is queued again.").wait_for()
    assert page.faults == []


def test_ticked_messages_are_looked_at_before_they_are_resent(filled: Site):
    page = filled.open("/admin/messages", "operator")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Resend…").click()
    page.get_by_role("heading", name="Resend messages").wait_for()
    filled.look("messages-review")
    page.get_by_role("button", name="Resend", exact=True).click()
    page.get_by_text("1 message was queued again.").wait_for()


def test_a_message_that_goes_on_is_shown_without_reloading(filled: Site):
    world = filled.world
    body = {"to": "+4915112345699", "content": "On its way"}
    message = world.client.post("/api/v1/messages", json=body, headers=world.as_crm()).json
    page = filled.open(f"/admin/messages/{message['id']}", "clerk")
    page.get_by_text("Waiting since").wait_for()
    world.client.post("/api/sms", json={}, headers=world.as_device())
    page.get_by_text("hand-out 1 of").wait_for()
    assert page.faults == []
