"""Files of messages: uploaded, shown with what is wrong in their rows, mended, and queued once."""

import io
import re
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import crms, operators
from smsgw.core.messages import bulk_sheets, imports, pausing
from smsgw.store.models import BrowserSession, BulkSheet, Message

from ..conftest import NOW
from .cheap import check_cheap
from .conftest import Browser, Office, text_of

HOSTILE = "‮evil‬ <script>alert(1)</script> {{ 7*7 }}"


def upload(browser: Browser, text: str | bytes, **more: Any) -> Any:
    """Uploads a file and follows to the sheet."""
    browser.get("/admin/bulk")
    fields = {**browser.form("/admin/bulk/upload").fields, **more}
    data = text.encode() if isinstance(text, str) else text
    browser.post("/admin/bulk/upload", {**fields, "file": (io.BytesIO(data), "list.csv")})
    if browser.page.status_code == 303:
        browser.get(browser.page.headers["Location"])
    return browser.page


def queue(browser: Browser, **more: Any) -> Any:
    """Queues the sheet that is shown and follows to the progress."""
    path = browser.page.request.path.removesuffix("/queue")
    return browser.send(f"{path}/queue", **more)


def numbers(office: Office) -> list[str]:
    """The numbers of all messages, in order."""
    with office.world.database.reading() as session:
        return list(session.scalars(sa.select(Message.to_number).order_by(Message.to_number)))


def test_of_1000_rows_with_12_bad_ones_nothing_is_queued_until_they_are_mended_and_then_each_once(
    office: Office,
):
    bad = set(range(50, 1000, 80))
    assert len(bad) == 12
    lines = [
        f"{'abc' if row in bad else f'+4915112{row:06}'},Hello {row}" for row in range(2, 1002)
    ]
    browser = office.browser("clerk")
    page = upload(browser, "\n".join(["to,content", *lines]))
    assert "12 rows are wrong, 988 are good." in text_of(page)
    assert page.text.count("Not a number a phone can send to") == 12
    path = page.request.path
    sheet = browser.form(f"{path}/mend").fields
    assert {name for name in sheet if name.startswith("cell-") and name.endswith("-0")} == {
        f"cell-{row}-0" for row in bad
    }
    browser.post(f"{path}/queue", {"csrf_token": sheet["csrf_token"], "_page": path})
    assert "12 rows are wrong, so nothing was queued." in text_of(browser.page)
    assert numbers(office) == []
    browser.get(path)
    mended = {f"cell-{row}-0": f"+4915112{row:06}" for row in bad}
    browser.send(f"{path}/mend", **mended)
    assert "Messages 1,000" in text_of(browser.page)
    fields = browser.form(f"{path}/queue").fields
    first, second = (browser.post(f"{path}/queue", fields).headers["Location"] for _ in range(2))
    assert first == second
    assert numbers(office) == [f"+4915112{row:06}" for row in range(2, 1002)]
    progress = browser.get(first)
    assert "Queued 1,000" in text_of(progress)
    result = browser.get(f"{first}/result.csv").text.splitlines()
    assert len(result) == 1001
    assert [line.split(",")[6] for line in result[1:3]] == ["+4915112000002", "+4915112000003"]


def test_what_was_interrupted_goes_on_where_it_stopped(office: Office, monkeypatch):
    browser = office.browser("clerk")
    monkeypatch.setattr(imports, "STEP", 2)
    path = upload(browser, "to,content\n" + "".join(f"+491511234567{n},x\n" for n in range(5)))
    path = path.request.path
    fields = browser.form(f"{path}/queue").fields
    whole = bulk_sheets.step
    steps = iter([whole])

    def step(*given: Any) -> bool:
        return next(steps)(*given)

    monkeypatch.setattr(bulk_sheets, "step", step)
    assert browser.post(f"{path}/queue", fields).status_code == 500
    assert len(numbers(office)) == 2
    monkeypatch.setattr(bulk_sheets, "step", whole)
    page = browser.get(path.replace("/sheet", ""))
    assert "2 of 5 rows are queued." in text_of(page)
    browser.send(f"{path}/queue")
    assert numbers(office) == [f"+491511234567{n}" for n in range(5)]
    assert "Queued 5" in text_of(browser.page)


def test_the_same_file_is_queued_again_only_where_that_is_ticked(office: Office):
    browser = office.browser("clerk")
    for _ in range(2):
        upload(browser, "to,content\n+4915112345670,Hello\n")
        page = queue(browser)
    assert page.status_code == 409
    assert len(numbers(office)) == 1
    queue(browser, again="yes")
    assert len(numbers(office)) == 2


def test_what_is_cancelled_while_it_is_queued_is_not_queued_further(office: Office):
    browser = office.browser("clerk")
    upload(browser, "to,content\n+4915112345670,Hello\n+4915112345671,Hello\n")
    page = queue(browser)
    path = page.request.path
    browser.send(f"{path}/cancel")
    assert "2 messages were cancelled." in text_of(browser.page)
    upload(browser, "to,content\n+4915112345670,Hello\n+4915112345671,Hello\n")
    assert queue(browser).status_code == 409
    queue(browser, again="yes")
    assert len(numbers(office)) == 4


def polled(office: Office) -> int:
    """How many messages the phone is handed now."""
    answer = office.world.client.post("/api/sms", json={}, headers=office.world.as_device())
    return len(answer.json["messages"])


def test_what_is_queued_is_paused_resumed_and_cancelled_on_its_page_and_the_log_names_who_did(
    office: Office, monkeypatch
):
    monkeypatch.setattr(pausing, "STEP", 2)
    browser = office.browser("clerk")
    upload(browser, "to,content\n" + "".join(f"+491511234567{n},Hello\n" for n in range(5)))
    path = queue(browser).request.path
    fields = browser.form(f"{path}/pause").fields
    page = browser.send(f"{path}/pause")
    assert "Paused by clerk at" in text_of(page)
    assert (text_of(page).count("Paused since"), "Waiting since" in text_of(page)) == (5, False)
    assert "Paused since" in text_of(browser.get("/admin/messages"))
    assert (polled(office), "no phone gets any more" in text_of(page)) == (0, True)
    assert browser.post(f"{path}/pause", fields).status_code == 303
    assert "It was paused already." in text_of(browser.get(path))
    check_cheap(office, path, role="clerk")
    assert "paused" in text_of(browser.get("/admin/bulk"))
    message = re.search(r"/admin/messages/msg_\w+", browser.get(path).text)
    assert "It is paused with the other messages" in text_of(browser.get(message[0]))
    browser.get(path)
    assert "Paused by" not in text_of(browser.send(f"{path}/resume"))
    assert polled(office) == 5
    log = text_of(office.browser("operator").get("/admin/log"))
    assert "pause" in log
    assert "resume" in log


def test_what_is_paused_can_be_cancelled_and_is_for_the_people_of_its_crm_alone(office: Office):
    browser = office.browser("clerk")
    upload(browser, "to,content\n+4915112345670,Hello\n")
    path = queue(browser).request.path
    browser.send(f"{path}/pause")
    fields = browser.form(f"{path}/resume").fields
    assert "1 message was cancelled." in text_of(browser.send(f"{path}/cancel"))
    with office.world.database.transaction() as session:
        crms.add(session, "other", None, NOW)
        operators.assign(session, operators.get(session, "clerk"), ["other"])
    assert browser.post(f"{path}/resume", fields).status_code == 404
    assert browser.post(f"{path}/pause", fields).status_code == 404


def test_rows_that_are_queued_while_their_bulk_is_paused_wait_with_it(office: Office, monkeypatch):
    monkeypatch.setattr(imports, "STEP", 2)
    browser = office.browser("clerk")
    page = upload(browser, "to,content\n" + "".join(f"+491511234567{n},x\n" for n in range(5)))
    sheet, path = page.request.path, page.request.path.replace("/sheet", "")
    fields = browser.form(f"{sheet}/queue").fields
    steps = iter([bulk_sheets.step])
    with monkeypatch.context() as patched:
        patched.setattr(bulk_sheets, "step", lambda *given: next(steps)(*given))
        assert browser.post(f"{sheet}/queue", fields).status_code == 500
    browser.get(path)
    browser.send(f"{path}/pause")
    browser.send(f"{sheet}/queue")
    assert (len(numbers(office)), polled(office)) == (5, 0)
    browser.send(f"{path}/resume")
    assert polled(office) == 5


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "The file is empty"),
        (",".join("abc"[:1] for _ in range(51)), "more than 50 columns"),
        (b"PK\x03\x04 a workbook", "save it there as 'CSV UTF-8'"),
        (b"\xff\xfe\xff", "not UTF-8"),
        ('to,content\n"+49', "nexpected end of data"),
        ("to,content\n" + "1,2\n" * 10_001, "more than 10,000 rows"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(office: Office, text: Any, fault: str):
    page = upload(office.browser("clerk"), text)
    assert page.status_code == 422
    assert fault in page.text.replace("&#39;", "'")


PEOPLE = "Name;Telefon;Ort\nErika;+4915112345670;Köln\n;;\nOtto;+49 151 12345671;\n"


def choose_columns(browser: Browser, **fields: str) -> Any:
    """Sends the form that asks what is in the columns of the file that is shown."""
    path = browser.page.request.path.removesuffix("/columns")
    return browser.send(f"{path}/columns", **fields)


def test_columns_in_other_words_are_asked_for_and_a_text_is_filled_in(office: Office):
    browser = office.browser("clerk")
    page = upload(browser, PEOPLE)
    assert "+4915112345670 · +49 151 12345671" in text_of(page)
    fields = browser.form(f"{page.request.path}/columns").fields
    names = [fields[f"column-{place}"] for place in range(3)]
    assert (names, fields["has_titles"]) == (["", "to", ""], "yes")
    page = choose_columns(browser, text="Hallo {name},\r\nbis morgen in {Ort}!")
    assert "1 row is wrong, 1 is good." in text_of(page)
    path = page.request.path
    browser.send(f"{path}/mend", drop="4")
    assert "Hallo Erika, bis morgen in Köln!" in text_of(browser.page)
    queue(browser)
    assert numbers(office) == ["+4915112345670"]
    assert browser.post(f"{path}/columns", {**fields, "column-0": "to"}).status_code == 404


def test_a_file_without_titles_begins_with_its_first_row(office: Office):
    browser = office.browser("clerk")
    page = upload(browser, "+4915112345670;Hello\n+4915112345671;Bye\n")
    fields = browser.form(f"{page.request.path}/columns").fields
    assert "has_titles" not in fields
    choose_columns(browser, **{"column-1": "content"})
    queue(browser)
    assert numbers(office) == ["+4915112345670", "+4915112345671"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"column-1": ""}, "Choose the column with the numbers."),
        ({}, "or type one text for all: one of both."),
        ({"column-0": "content", "text": "Hi"}, "or type one text for all: one of both."),
        ({"column-0": "to", "text": "Hi"}, "Choose one column alone for 'to'."),
        ({"column-0": "colour", "text": "Hi"}, "Choose one column alone for 'colour'."),
        ({"text": "Hi {Vorname}"}, "There is no column 'Vorname' in the file."),
    ],
)
def test_a_choice_of_columns_that_makes_no_messages_is_refused(
    office: Office, fields: dict[str, str], fault: str
):
    browser = office.browser("clerk")
    upload(browser, PEOPLE)
    page = choose_columns(browser, **fields)
    assert page.status_code == 422
    assert fault in page.text.replace("&#39;", "'")


def test_what_stands_beyond_the_columns_makes_a_row_wrong_and_is_not_dropped(office: Office):
    browser = office.browser("clerk")
    upload(browser, "Telefon;Nachricht\n+4915112345670;Hello; and more\n")
    page = choose_columns(browser, **{"column-1": "content"})
    assert "has 3 columns, but the first row has 2" in text_of(page).replace("Has", "has")


def test_the_first_messages_are_shown_as_they_will_be(office: Office):
    rows = "".join(f"+49 151 1234567{n},Hello {n},31.12.2990 08:0{n}\n" for n in range(10))
    browser = office.browser("clerk")
    page = upload(browser, f"to,content,send_at\n{rows}", zone="Europe/Berlin")
    assert "2 +4915112345670 Hello 0 2990-12-31 07:00 UTC" in text_of(page)
    assert "Hello 9" in text_of(page)


def test_rows_that_were_queued_before_or_stand_twice_are_left_out_by_a_button(office: Office):
    browser = office.browser("clerk")
    first = "to,content\n+4915112345670,Hello\n+4915112345671,Hello\n"
    upload(browser, first)
    queue(browser)
    page = upload(browser, f"{first}+4915112345672,Hi\n+49 151 1234 5672,Hi\n+4915112345672,Ho\n")
    assert "1 row repeats an earlier row, with the same text to the same number: 5." in text_of(
        page
    )
    assert "2 of 5 rows were queued in the last 24 hours already" in text_of(page)
    path = page.request.path
    assert queue(browser).status_code == 409
    browser.get(path)
    page = browser.send(f"{path}/leave-out")
    assert "3 rows are left out." in text_of(page)
    queue(browser)
    assert numbers(office) == [
        "+4915112345670",
        "+4915112345671",
        "+4915112345672",
        "+4915112345672",
    ]


def test_who_signs_in_again_while_uploading_is_told_to_choose_the_file_again(office: Office):
    browser = office.browser("clerk")
    browser.get("/admin/bulk")
    with office.world.database.transaction() as session:
        session.execute(sa.delete(BrowserSession))
    fields = {**browser.form("/admin/bulk/upload").fields, "zone": "Europe/Berlin"}
    browser.post("/admin/bulk/upload", {**fields, "file": (io.BytesIO(b"to,content"), "a.csv")})
    assert "A file has to be chosen again." in text_of(browser.page)
    page = browser.send("/admin/sign-in", secret=office.keys["clerk"])
    assert "Choose the file again: it is not kept." in text_of(page)
    assert "Choose the file again" not in text_of(browser.get("/admin/bulk"))


def test_a_file_of_more_than_four_mebibytes_is_refused(office: Office):
    text = "to,content\n" + "x" * 5_000_000
    page = upload(office.browser("clerk"), text)
    assert page.status_code == 413
    assert "A file may have 4 MiB: split it." in text_of(page)


def test_hostile_rows_are_shown_as_text_and_can_be_left_out(office: Office):
    browser = office.browser("clerk")
    page = upload(browser, f'to,content,priority\nabc,"{HOSTILE}",{HOSTILE[:5]}\n')
    assert "<script>alert" not in page.text
    path = page.request.path
    browser.send(f"{path}/mend", drop="2")
    assert "The file has no rows left." in text_of(browser.page)


def test_a_clerk_uploads_for_their_crms_alone_and_sees_no_others_files(office: Office):
    page = upload(office.browser("operator"), "to,content\n+4915112345670,Hello\n")
    with office.world.database.transaction() as session:
        crms.add(session, "other", None, NOW)
        operators.assign(session, operators.get(session, "clerk"), ["other"])
    clerk = office.browser("clerk")
    assert clerk.get(page.request.path).status_code == 404
    assert upload(clerk, "to,content\n+4915112345670,x\n", crm="clinic").status_code == 422


def test_bulk_pages_are_cheap_and_old_files_go(office: Office):
    browser = office.browser("clerk")
    path = upload(browser, "to,content\n+4915112345670,Hello\n").request.path
    check_cheap(office, path, role="clerk")
    check_cheap(office, "/admin/bulk", role="clerk")
    with office.world.database.transaction() as session:
        session.execute(sa.update(BulkSheet).values(created_at=NOW.replace(year=2020)))
    upload(browser, "to,content\n+4915112345670,Hello\n")
    assert browser.get(path).status_code == 404
