"""The dashboard in a real browser: by keyboard, in both themes, wide and narrow, under its CSP."""

from .conftest import Site


def test_an_operator_signs_in_by_keyboard_alone(site: Site):
    page = site.open("/admin")
    page.keyboard.type(site.office.keys["operator"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.faults == []


def test_the_page_to_sign_in(site: Site):
    site.open("/admin/sign-in")
    site.look("sign-in")


def test_the_overview(site: Site):
    site.open("/admin", "operator")
    site.look("overview")


def test_the_people(site: Site):
    page = site.open("/admin/people", "operator")
    site.look("people")
    page.get_by_label("Name", exact=True).fill("Zoë <b>")
    page.get_by_label("Clerk: also sends, reads and answers messages").check()
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("The key of Zoë <b>").wait_for()
    site.look("people-added")
    page.get_by_role("link", name="Zoë <b>").click()
    site.look("person")


def test_the_own_page(site: Site):
    site.open("/admin/me", "operator")
    site.look("me")


def test_pages_can_be_read_without_javascript(site: Site, browser):
    site.sign_in("viewer")
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(site.page.context.cookies())
    page = context.new_page()
    page.goto(f"{site.url}/admin")
    page.get_by_role("heading", name="Overview").wait_for()
    context.close()
