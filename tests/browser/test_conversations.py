"""The pages about conversations in a real browser."""

import uuid

import pytest

from smsgw.core.accounts.roles import CLERK

from .conftest import Site

THEIRS = "+4915112345699"
ANSWER = "Your appointment is tomorrow at 10:30. Reply YES to confirm."


def poll(site: Site, **body):
    return site.world.client.post("/api/sms", json=body, headers=site.world.as_device()).json


def receive(site: Site, content: str, sender: str = THEIRS) -> None:
    message = {"id": str(uuid.uuid4()), "from": sender, "content": content}
    poll(site, messages=[{**message, "sms_sent": 0, "sms_received": 1}])


@pytest.fixture
def filled(site: Site) -> Site:
    """A site with conversations: short and long texts, a name, a STOP, an answer that was delivered."""
    client, world = site.world.client, site.world
    receive(site, "\u202eevil\u202c <b>bold</b> " + "y" * 40_000, "BANK")
    receive(site, "STOP", "+4915112345688")
    receive(site, "x" * 1600)
    for to in (THEIRS, "+4915112345677"):
        body = {"to": to, "content": ANSWER}
        assert client.post("/api/v1/messages", json=body, headers=world.as_crm()).status_code == 202
    handed, *_ = poll(site)["messages"]
    poll(site, updates=[{"id": handed["id"], "status": "DELIVERED"}])
    receive(site, "YES, thank you 👋🏽")
    return site


def test_the_list_of_conversations(filled: Site):
    page = filled.open("/admin/conversations", "operator")
    filled.look("conversations")
    receive(filled, "A new one", "+4915112345666")
    page.get_by_text("A new one").wait_for()
    assert page.faults == []


def test_a_list_without_conversations(site: Site):
    site.open("/admin/conversations", "viewer")
    site.look("conversations-empty")


def test_a_clerk_answers_while_the_other_writes(filled: Site):
    page = filled.open(f"/admin/conversations/{THEIRS}", CLERK)
    box = page.get_by_label("Answer")
    box.fill("Grüße; €10")
    page.get_by_text("149 left in it").wait_for()
    box.fill("Привет")
    page.get_by_text("64 left in it · 70 fit into one").wait_for()
    receive(filled, "Are you there?")
    page.get_by_text("Are you there?").wait_for()
    assert box.input_value() == "Привет"
    filled.look("conversation")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("The answer is queued.").wait_for()
    assert page.faults == []


def test_a_conversation_that_said_stop_with_two_crms_to_answer_for(filled: Site):
    filled.world.add_crm("Öffentlicher Dienst")
    page = filled.open("/admin/conversations/+4915112345688", "operator")
    page.get_by_label("Answer").fill("x" * 2000)
    page.locator("#segments .fault").wait_for()
    filled.look("conversation-stopped")


def test_a_name_for_a_viewer(filled: Site):
    page = filled.open("/admin/conversations?number=BANK", "viewer")
    page.get_by_text("it cannot be answered").wait_for()
    filled.look("conversation-name")
