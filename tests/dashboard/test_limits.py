"""The pages of the limits: how full they are, and changing those of a CRM."""

import pytest

from smsgw.core.accounts import crms, operators

from .cheap import check_cheap
from .conftest import Browser, Office, text_of


def crm_id(office: Office) -> str:
    with office.world.database.reading() as session:
        return crms.get(session, "clinic").id


def opened(office: Office, role: str = "operator") -> tuple[Browser, str]:
    """A browser with the form of the CRM, and where that is sent."""
    path = f"/admin/limits/{crm_id(office)}"
    browser = office.browser(role)
    browser.get(path)
    return browser, f"{path}/change"


def queue(office: Office, content: str) -> None:
    body = {"to": "+4915112345670", "content": content}
    office.world.client.post("/api/v1/messages", json=body, headers=office.world.as_crm())


def test_the_page_shows_how_full_each_limit_is(office: Office):
    browser, action = opened(office)
    browser.send(action, queue_limit="2", requests_per_minute="10", loop_guard="0")
    queue(office, "one")
    page = text_of(browser.get("/admin/limits"))
    assert "1 of 2" in page
    assert "1 of 10" in page
    queue(office, "two")
    assert "2 of 2 full" in text_of(browser.get("/admin/limits"))
    assert "phone-1" in page


def test_a_change_holds_and_what_is_empty_is_the_default_again(office: Office):
    browser, action = opened(office)
    page = browser.send(
        action, loop_guard="7", sticky_sender="on", stop_words="Ende\r\nhalt", start_words="-"
    )
    assert "The changes are saved." in text_of(page)
    with office.world.database.reading() as session:
        crm = crms.get(session, "clinic")
        assert (crm.loop_guard, crm.sticky_sender) == (7, True)
        assert (crm.stop_words, crm.start_words) == (["Ende", "halt"], [])
    browser, action = opened(office)
    browser.send(action, loop_guard="", stop_words="", start_words="", sticky_sender="off")
    with office.world.database.reading() as session:
        crm = crms.get(session, "clinic")
        assert (crm.loop_guard, crm.sticky_sender) == (None, False)
        assert (crm.stop_words, crm.start_words) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue_limit", "0"),
        ("queue_limit", "abc"),
        ("requests_per_minute", "-1"),
        ("requests_per_minute", "9" * 40_000),
        ("loop_guard", "1001"),
        ("sticky_sender", "maybe"),
        ("stop_words", "x" * 101),
        ("stop_words", "\n".join(f"word {n}" for n in range(201))),
        ("stop_words", "!!!"),
        ("stop_words", "start"),
        ("start_words", "a\0b"),
    ],
)
def test_what_is_no_limit_is_refused_beside_its_field(office: Office, name: str, value: str):
    browser, action = opened(office)
    page = browser.send(action, **{name: value})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text


def test_the_second_of_two_who_change_the_same_is_told_what_the_first_has_set(office: Office):
    (first, action), (second, _) = opened(office), opened(office)
    first.send(action, queue_limit="100")
    page = second.send(action, queue_limit="200")
    assert page.status_code == 409
    assert "Somebody changed this to &#39;100&#39; meanwhile." in page.text
    second.get(f"/admin/limits/{crm_id(office)}")
    assert "saved" in text_of(second.send(action, loop_guard="3"))


def test_a_clerk_sees_the_limits_of_their_crms_alone_and_changes_none(office: Office):
    office.world.add_crm("other")
    with office.world.database.transaction() as session:
        operators.assign(session, operators.get(session, "clerk"), ["other"])
    page = office.browser("clerk").get("/admin/limits")
    assert "clinic" not in page.text
    assert "other" in page.text
    assert "/admin/limits/" not in page.text


def test_a_crm_that_is_not_there_has_no_limits(office: Office):
    assert office.browser("operator").get("/admin/limits/nobody").status_code == 404


def test_the_pages_cost_little(office: Office):
    queue(office, "one")
    check_cheap(office, "/admin/limits")
    check_cheap(office, "/admin/limits", "clerk")
    check_cheap(office, f"/admin/limits/{crm_id(office)}")
