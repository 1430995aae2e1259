"""The page of the numbers that want no more messages."""

import pytest

from smsgw.core.accounts import operators

from .cheap import check_cheap
from .conftest import Browser, Office, text_of

NUMBER = "+4915112345671"
HOSTILE = "<script>alert(1)</script> ‮evil"
ADD, REMOVE = "/admin/opt-outs/add", "/admin/opt-outs/remove"


def say_stop(office: Office, sender: str = NUMBER) -> None:
    message = {"id": sender, "from": sender, "content": "STOP", "sms_sent": 0, "sms_received": 1}
    body = {"messages": [message]}
    office.world.client.post("/api/sms", json=body, headers=office.world.as_device())


def opened(office: Office, role: str) -> Browser:
    browser = office.browser(role)
    browser.get("/admin/opt-outs")
    return browser


def send(office: Office) -> int:
    body = {"to": NUMBER, "content": "Hello"}
    client, headers = office.world.client, office.world.as_crm()
    return client.post("/api/v1/messages", json=body, headers=headers).status_code


def test_the_page_says_how_numbers_come_here_while_there_are_none(office: Office):
    assert "No number is on a list." in text_of(opened(office, "viewer").page)


def test_a_number_that_wrote_stop_is_listed_with_its_message_and_removed_by_a_clerk(office: Office):
    say_stop(office)
    browser = opened(office, "clerk")
    assert "wrote so" in text_of(browser.page)
    assert send(office) == 422
    assert "The number is off the list." in text_of(browser.send(REMOVE))
    assert send(office) == 202


def test_a_clerk_adds_a_number_with_a_note_and_the_page_says_who_did(office: Office):
    browser = opened(office, "clerk")
    page = browser.send(ADD, number="+49 151 12345671", note=f"on the phone {HOSTILE}")
    assert "put there by clerk" in text_of(page)
    assert "&lt;script&gt;" in page.text
    assert send(office) == 422
    page = browser.send(ADD, number=NUMBER, note="again")
    assert "The number was on the list before." in text_of(page)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"number": ""}, "number"),
        ({"number": "abc"}, "number"),
        ({"number": "9" * 40_000}, "number"),
        ({"number": NUMBER, "note": "x" * 501}, "at most 500 characters"),
        ({"number": NUMBER, "note": "a\0b"}, "at most 500 characters"),
        ({"number": NUMBER, "crm": ""}, "Choose a CRM."),
        ({"number": NUMBER, "crm": "nobody"}, "nobody"),
    ],
)
def test_what_cannot_be_on_a_list_is_refused_in_words(office: Office, fields, words):
    browser = opened(office, "clerk")
    page = browser.send(ADD, **fields)
    assert 400 <= page.status_code < 500
    assert words in page.text
    assert "No number is on a list." in text_of(page)


def test_a_number_that_somebody_else_removed_meanwhile_is_said_to_be_gone(office: Office):
    say_stop(office)
    first, second = opened(office, "clerk"), opened(office, "operator")
    first.send(REMOVE)
    page = second.send(REMOVE)
    assert page.status_code == 404
    assert "not on the list any more" in text_of(page)


def test_numbers_are_found_by_number_and_by_crm(office: Office):
    say_stop(office)
    browser = office.browser("operator")
    for query, is_found in (
        ("number=%2B49 151 12345671", True),
        ("number=%2B4915112345679", False),
        ("crm=clinic", True),
    ):
        page = text_of(browser.get(f"/admin/opt-outs?{query}"))
        assert ("wrote so" in page) == is_found
        assert ("No number on a list matches." in page) != is_found
    assert browser.get("/admin/opt-outs?number=abc").status_code == 422
    assert browser.get("/admin/opt-outs?cursor=x").status_code == 422
    assert browser.get("/admin/opt-outs?crm=nobody").status_code == 404


def test_a_clerk_of_one_crm_neither_sees_nor_changes_the_lists_of_others(office: Office):
    say_stop(office)
    office.world.add_crm("other", ["phone-1"])
    with office.world.database.transaction() as session:
        operators.assign(session, operators.get(session, "clerk"), ["other"])
    browser = opened(office, "clerk")
    assert NUMBER not in browser.page.text
    form = browser.form(ADD).fields
    for action in (ADD, REMOVE):
        fields = {**form, "number": NUMBER, "crm": "clinic"}
        assert browser.post(action, fields).status_code == 404
    assert browser.get("/admin/opt-outs?crm=clinic").status_code == 404
    assert send(office) == 422


def test_a_viewer_sees_no_whole_number_and_no_button(office: Office):
    opened(office, "clerk").send(ADD, number=NUMBER, note="not 015112345671")
    page = opened(office, "viewer").page
    assert "+49…71" in page.text
    assert "5112345" not in page.text
    assert ADD not in page.text
    assert REMOVE not in page.text


def test_the_list_goes_on_page_by_page(office: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("smsgw.dashboard.opt_outs.PAGE_SIZE", 1)
    say_stop(office)
    say_stop(office, "+4915112345672")
    browser = opened(office, "operator")
    older = browser.page.text.partition('rel="next" href="')[2].partition('"')[0]
    assert NUMBER in browser.get(older).text
    assert 'rel="next"' not in browser.page.text


@pytest.mark.parametrize("role", ["operator", "clerk"])
@pytest.mark.parametrize("query", ["", "?crm=clinic", "?number=%2B4915112345671"])
def test_the_list_costs_little(office: Office, query: str, role: str):
    say_stop(office)
    opened(office, "clerk").send(ADD, number="+4915112345672")
    check_cheap(office, f"/admin/opt-outs{query}", role)
