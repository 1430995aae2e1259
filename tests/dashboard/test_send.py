"""One text to many numbers: previewed, refused, queued once, watched and cancelled."""

from datetime import timedelta
from typing import Any

import pytest

from smsgw import clock
from smsgw.core.accounts import crms, operators
from smsgw.core.messages import opt_outs
from smsgw.core.messages.history import writing_history
from smsgw.core.messages.opt_outs import Cause

from ..conftest import NOW
from .cheap import check_cheap
from .conftest import Browser, Office, text_of

THREE = "+4915112345670\n+49 151 1234 5671, +4915112345672"
HOSTILE = "‮evil‬ <script>alert(1)</script> {{ 7*7 }}"


def send(browser: Browser, to: str = THREE, content: str = "Hello", **more: Any) -> Any:
    """Fills in the form and sends it."""
    browser.get("/admin/send")
    return browser.send("/admin/send", to=to, content=content, **more)


def messages(office: Office) -> list[dict[str, Any]]:
    """All messages, newest first."""
    return office.world.client.get("/api/v1/messages", headers=office.world.as_crm()).json["data"]


def test_one_text_is_queued_for_each_number_and_its_progress_is_shown(office: Office):
    page = send(office.browser("clerk"))
    assert page.request.path.startswith("/admin/bulk/")
    assert {message["to"] for message in messages(office)} == {
        "+4915112345670",
        "+4915112345671",
        "+4915112345672",
    }
    assert "Queued 3" in text_of(page)
    assert "0 of 3 have left the phones or ended" in text_of(page)


def test_a_repeated_click_queues_nothing_twice_and_a_new_page_does(office: Office):
    browser = office.browser("clerk")
    browser.get("/admin/send")
    fields = {**browser.form("/admin/send").fields, "to": THREE, "content": "Hello"}
    first, second = (browser.post("/admin/send", fields).headers["Location"] for _ in range(2))
    assert first == second
    assert len(messages(office)) == 3
    browser.post("/admin/send", {**fields, "content": "Another text"})
    assert len(messages(office)) == 6


def test_a_text_goes_to_the_same_number_again_within_a_day_only_if_that_is_ticked(office: Office):
    browser = office.browser("clerk")
    send(browser)
    page = send(browser, to="0049 151 12345671, +4915112345679")
    assert page.status_code == 409
    assert "in the last 24 hours already for 0049 151 12345671." in text_of(page)
    assert len(messages(office)) == 3
    send(browser, to="+4915112345671", send_at="2990-01-01T10:00", zone="UTC")
    assert len(messages(office)) == 4
    send(browser, to="+4915112345671")
    browser.send("/admin/send", again="yes")
    assert len(messages(office)) == 5


@pytest.mark.parametrize("number", ["+4915112345670,0", "4,91512E+12", "4915112345670,00"])
def test_decimals_of_a_spreadsheet_are_not_two_numbers(office: Office, number: str):
    page = send(office.browser("clerk"), to=f"+4915112345671\n{number}")
    assert "Looks like a number from a spreadsheet" in text_of(page)
    assert messages(office) == []


def test_wrong_numbers_are_named_beside_the_field_and_all_that_was_typed_is_kept(office: Office):
    browser = office.browser("clerk")
    page = send(browser, to=f"{THREE}\nabc", content=HOSTILE, priority="9")
    assert page.status_code == 422
    assert "1 of 4 messages cannot be sent, so nothing was queued." in text_of(page)
    assert "“abc”: " in text_of(page)
    fields = browser.form("/admin/send").fields
    assert (fields["to"], fields["content"]) == (f"{THREE}\nabc", HOSTILE)
    assert fields["priority"] == "9"
    assert "<script>alert" not in page.text
    assert messages(office) == []


def test_an_opt_out_and_a_text_sent_too_often_are_named_by_number(office: Office):
    browser, world = office.browser("clerk"), office.world
    with world.database.transaction() as session, writing_history(session, clock.now()) as history:
        crms.get(session, "clinic").loop_guard = 5
        opt_outs.add(session, world.crm_id, "+4915112345670", Cause("api"), history)
    for _ in range(5):
        send(browser, to="+4915112345671", again="yes")
    page = send(browser, again="yes")
    assert "“+4915112345670”: This number has opted out" in text_of(page)
    assert "“+49 151 1234 5671”: The same text was queued for this number 5 times" in text_of(page)
    assert len(messages(office)) == 5


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"to": ""}, "Type a number."),
        ({"to": "\n".join(f"+4915112{n:06}" for n in range(1001))}, "At most 1,000 numbers"),
        ({"content": ""}, "Must have 1 to 1600 characters"),
        ({"content": " \n "}, "Must have 1 to 1600 characters"),
        ({"content": "x" * 1601}, "Must have 1 to 1600 characters"),
        ({"crm": "nobody"}, "Choose a CRM."),
        ({"device_id": "nobody"}, "There is no such device"),
        ({"send_at": "tomorrow"}, "is not like"),
        ({"send_at": "2020-01-01T10:00"}, "This time has passed."),
        ({"send_at": "2999-01-01T10:00", "zone": "Nowhere/Land"}, "Unknown time zone"),
        ({"priority": "x"}, "Choose a priority."),
    ],
)
def test_what_is_wrong_in_a_field_stands_beside_it(office: Office, fields: Any, fault: str):
    page = send(office.browser("clerk"), **fields)
    assert page.status_code == 422
    beside = page.text.partition('<p class="fault"')[2].partition("</p>")[0]
    assert fault in beside
    assert messages(office) == []


def test_of_several_crms_a_person_chooses_one_and_finds_it_chosen_the_next_time(office: Office):
    office.world.add_crm("another")
    browser = office.browser("clerk")
    page = send(browser)
    assert page.status_code == 422
    assert messages(office) == []
    send(browser, crm="clinic")
    for path, action in (("/admin/send", "/admin/send"), ("/admin/bulk", "/admin/bulk/upload")):
        browser.get(path)
        assert browser.form(action).fields["crm"] == "clinic"
    assert "Choose a CRM" not in text_of(browser.page)


def test_the_preview_counts_segments_and_names_numbers_and_phones(office: Office):
    browser = office.browser("clerk")
    browser.get("/admin/send")
    fields = browser.form("/admin/send").fields
    typed = {**fields, "to": "+4915112345670, +49 151 12345670\nabc", "content": "Grüße 👋"}
    part = browser.post("/admin/send/preview", typed, {"HX-Request": "true"})
    assert "<html" not in part.text
    for words in (
        "1 segment , 8 units of Unicode",
        "not in the SMS alphabet",
        "1 number is wrong:",
        "1 message, 1 segment in all",
        "1 number stands there twice",
        "phone-1",
    ):
        assert words in text_of(part), text_of(part)
    page = browser.post("/admin/send/preview", typed)
    assert "1 number is wrong:" in text_of(page)
    assert browser.form("/admin/send").fields["content"] == "Grüße 👋"
    assert messages(office) == []


@pytest.mark.parametrize(
    ("count", "words"), [(1599, "; 1 more fit into the last one"), (1602, "too long by 2")]
)
def test_the_preview_says_how_much_more_fits_into_a_message(office: Office, count: int, words: str):
    browser = office.browser("clerk")
    browser.get("/admin/send")
    typed = {**browser.form("/admin/send").fields, "content": "x" * count}
    part = browser.post("/admin/send/preview", typed, {"HX-Request": "true"})
    assert words in text_of(part)


def test_a_later_time_is_that_of_the_browser(office: Office):
    day = (clock.now() + timedelta(days=30)).date()
    browser = office.browser("clerk")
    send(browser, send_at=f"{day}T10:00", zone="Asia/Tokyo")
    assert {message["send_at"] for message in messages(office)} == {f"{day}T01:00:00.000Z"}
    assert f"To be sent at {day} 01:00 UTC" in text_of(browser.page)


def test_a_clerk_sends_for_their_crms_alone_and_sees_no_others_progress(office: Office):
    with office.world.database.transaction() as session:
        other, _ = crms.add(session, "other", None, NOW)
        operators.assign(session, operators.get(session, "clerk"), [other.name])
    page = send(office.browser("operator"), crm="clinic")
    clerk = office.browser("clerk")
    assert clerk.get(page.request.path).status_code == 404
    assert send(clerk, crm="clinic").status_code == 422
    assert len(messages(office)) == 3


def test_the_rest_is_cancelled_and_what_a_phone_has_goes_on(office: Office):
    browser, world = office.browser("clerk"), office.world
    page = send(browser)
    path = page.request.path
    world.client.post("/api/sms", json={}, headers=world.as_device())
    send(browser, to="+4915112345675", content="Another")
    news = browser.get(f"{path}/news?seen=x")
    assert "Dispatched 3" in text_of(news)
    browser.page = page
    browser.send(f"{path}/cancel")
    assert "0 messages were cancelled." in text_of(browser.page)
    assert [message["status"] for message in messages(office)].count("queued") == 1


def test_news_come_when_something_has_changed(office: Office):
    browser = office.browser("clerk")
    page = send(browser)
    url = page.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(url).status_code == 204
    office.world.client.post("/api/sms", json={}, headers=office.world.as_device())
    assert browser.get(url).status_code == 200


def test_sending_pages_are_cheap(office: Office):
    page = send(office.browser("clerk"))
    check_cheap(office, "/admin/send", role="clerk")
    check_cheap(office, page.request.path, role="clerk")
    check_cheap(office, f"{page.request.path}/news?seen=x", role="clerk")


def test_without_a_crm_the_page_says_so(office: Office):
    with office.world.database.transaction() as session:
        other, _ = crms.add(session, "other", None, NOW)
        operators.assign(session, operators.get(session, "clerk"), [other.name])
        crms.remove(session, other, NOW)
    assert "Ask an operator." in text_of(office.browser("clerk").get("/admin/send"))
