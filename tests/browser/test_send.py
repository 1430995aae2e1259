"""Sending one text to many in a real browser."""

from .conftest import Site

NUMBERS = "+4915112345670\n+49 151 1234 5671\nabc"


def test_a_text_is_measured_while_it_is_typed_and_then_sent(site: Site):
    world = site.world
    world.client.post("/api/sms", json={}, headers=world.as_device())
    page = site.open("/admin/send", "clerk")
    site.look("send-empty")
    page.get_by_label("To", exact=True).fill(NUMBERS)
    page.get_by_label("Text").press_sequentially("Grüße 👋 from Köln")
    page.get_by_text("2 messages, 2 segments in all").wait_for()
    page.get_by_text("Later, or before others").click()
    site.look("send-preview")
    page.get_by_role("button", name="Queue the messages").click()
    page.get_by_text("so nothing was queued").wait_for()
    site.look("send-refused")
    page.get_by_label("To", exact=True).fill(NUMBERS.removesuffix("\nabc"))
    page.get_by_role("button", name="Queue the messages").click()
    page.get_by_role("heading", name="Progress").wait_for()
    page.get_by_text("Queued 2").wait_for()
    site.look("send-progress")
    world.client.post("/api/sms", json={}, headers=world.as_device())
    page.get_by_text("Dispatched 2").wait_for()
    assert [fault for fault in page.faults if "422" not in fault] == []
