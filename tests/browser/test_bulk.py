"""Files of messages in a real browser."""

from typing import Any

from .conftest import Site

TEXT = "to,content,reference\nabc,Hello,r-1\n+4915112345671,Your appointment is tomorrow,r-2\n"


def upload(page: Any, text: str) -> None:
    file = {"name": "list.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload and check").click()


def test_a_file_is_checked_mended_and_queued(site: Site):
    world = site.world
    world.client.post("/api/sms", json={}, headers=world.as_device())
    page = site.open("/admin/bulk", "clerk")
    upload(page, "Customer;Phone\nErika;+4915112345672\n")
    site.look("bulk-columns")
    page.get_by_label("One text for all").fill("Hello {Customer}")
    page.get_by_role("button", name="Use these columns").click()
    page.get_by_text("Hello Erika").wait_for()
    site.open("/admin/bulk")
    upload(page, TEXT)
    page.get_by_text("1 row is wrong, 1 is good.").wait_for()
    site.look("bulk-wrong")
    page.get_by_label("Number of row 2").fill("+4915112345670")
    page.get_by_role("button", name="Save and check again").click()
    page.get_by_role("button", name="Queue 2 messages").wait_for()
    site.look("bulk-checked")
    page.get_by_role("button", name="Queue 2 messages").click()
    page.get_by_text("Queued 2").wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused by clerk").wait_for()
    site.look("bulk-progress")
    site.open("/admin/bulk")
    site.look("bulk")
