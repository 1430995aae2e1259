"""The pages about CRMs in a real browser."""

from .conftest import Site


def test_a_crm_is_added_and_its_key_shown(site: Site):
    page = site.open("/admin/crms", "operator")
    page.get_by_label("Name of the program").fill("shop")
    page.get_by_role("button", name="Add and show its key").click()
    page.get_by_text("The key of shop").wait_for()
    site.look("crms")


def test_the_routes_of_a_crm_are_changed(site: Site):
    page = site.open("/admin/crms", "operator")
    page.get_by_role("link", name="clinic").click()
    page.get_by_label("Those that are ticked, and its own").check()
    page.get_by_label("phone-1").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The routes are saved.").wait_for()
    site.look("crm")
