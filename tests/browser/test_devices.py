"""The pages about devices in a real browser."""

from .conftest import Site


def test_the_list_of_devices(site: Site):
    site.world.add_device("phone-2")
    site.world.client.post("/api/sms", json={}, headers=site.world.as_device())
    site.open("/admin/devices", "operator")
    site.look("devices")


def test_a_phone_is_replaced(site: Site):
    page = site.open("/admin/devices", "operator")
    page.get_by_role("link", name="phone-1").click()
    site.look("device")
    page.locator("summary", has_text="New password…").click()
    page.get_by_role("button", name="New password…").click()
    page.get_by_text("The URL for phone-1").wait_for()
    site.look("device-rotated")
