"""The page of the numbers that want no more messages, in a real browser."""

from .conftest import Site


def test_a_clerk_adds_and_removes_a_number(site: Site):
    world = site.world
    message = {"id": "1", "from": "+4915112345688", "content": "STOP"}
    body = {"messages": [{**message, "sms_sent": 0, "sms_received": 1}]}
    world.client.post("/api/sms", json=body, headers=world.as_device())
    page = site.open("/admin/opt-outs", "clerk")
    page.get_by_label("Number", exact=True).last.fill("+49 151 12345699")
    page.get_by_label("Note").fill("asked for it on the phone " + "x" * 200)
    page.get_by_role("button", name="Add").click()
    page.get_by_text("The number is on the list now.").wait_for()
    site.look("opt-outs")
    page.get_by_text("Remove…").first.click()
    page.get_by_role("button", name="Remove…").click()
    page.get_by_text("The number is off the list.").wait_for()


def test_lists_without_numbers(site: Site):
    site.open("/admin/opt-outs", "viewer")
    site.look("opt-outs-empty")
