"""The pages of the limits in a real browser."""

from .conftest import Site


def test_an_operator_changes_a_limit(site: Site):
    world = site.world
    for n in range(4):
        body = {"to": "+4915112345670", "content": f"text {n}"}
        world.client.post("/api/v1/messages", json=body, headers=world.as_crm())
    page = site.open("/admin/limits", "operator")
    page.get_by_role("link", name="Change").first.click()
    page.get_by_label("Messages in the queue").fill("4")
    site.look("limits-of-a-crm")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("4 of 4").wait_for()
    site.look("limits")
    assert page.faults == []
