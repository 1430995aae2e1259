"""The pages about conversations: who wrote, what nobody has read, and answering."""

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms, operators
from smsgw.core.messages import browsing, conversations, opt_outs
from smsgw.core.messages.history import HistoryWriter
from smsgw.store.models import BrowserSession, Device

from ..conftest import NOW
from .cheap import check_cheap
from .conftest import Browser, Office, text_of

THEIRS = "+4915112345671"
OTHER = "+4915112345688"
HOSTILE = "‮evil‬ <script>alert(1)</script> {{ 7*7 }} " + "x" * 1550


def poll(office: Office, **body: Any) -> list[dict[str, Any]]:
    """Polls as phone-1 and returns what it is handed."""
    answer = office.world.client.post("/api/sms", json=body, headers=office.world.as_device())
    return answer.json["messages"]


def receive(office: Office, content: str, sender: str = THEIRS) -> None:
    message = {"id": str(uuid.uuid4()), "from": sender, "content": content}
    poll(office, messages=[{**message, "sms_sent": 0, "sms_received": 1}])


def queue(office: Office, content: str, to: str = THEIRS) -> str:
    body = {"to": to, "content": content}
    answer = office.world.client.post("/api/v1/messages", json=body, headers=office.world.as_crm())
    return answer.json["id"]


def newest_id(office: Office) -> str:
    """The id of the newest message with the number."""
    with office.world.database.reading() as session:
        return conversations.messages(session, None, THEIRS, None, 1).messages[0].id


def news_of(browser: Browser) -> str:
    return browser.page.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")


def restrict_clerk(office: Office, crm: str) -> None:
    office.world.add_crm(crm)
    with office.world.database.transaction() as session:
        operators.assign(session, operators.get(session, "clerk"), [crm])


def test_there_is_a_next_step_while_nobody_has_written(office: Office):
    page = office.browser("clerk").get("/admin/conversations")
    assert "There are no conversations yet." in text_of(page)


def test_each_number_stands_once_with_its_newest_message_first(office: Office):
    queue(office, "our first")
    receive(office, "from another", OTHER)
    receive(office, "their answer")
    page = text_of(office.browser("clerk").get("/admin/conversations"))
    assert page.count(THEIRS) == page.count(OTHER) == 1
    assert "our first" not in page
    assert page.index("their answer") < page.index("from another")


def test_what_came_in_is_new_until_somebody_who_may_answer_opens_it(office: Office):
    receive(office, "one")
    receive(office, "two")
    for role, count in (("viewer", "2 new"), ("clerk", "2 new"), ("operator", "")):
        browser = office.browser(role)
        page = browser.get("/admin/conversations")
        assert ("2 new" in text_of(page)) == bool(count)
        key = page.text.partition('scope="row"><a href="')[2].partition('"')[0]
        assert ("new ·" in text_of(browser.get(key))) == bool(count)
    receive(office, "three")
    assert "1 new" in text_of(office.browser("clerk").get("/admin/conversations"))


def test_a_clerk_answers_by_the_phone_that_brought_the_message(office: Office):
    receive(office, "Can I come at 10?")
    with office.world.database.transaction() as session:
        session.get_one(Device, "phone-1").last_seen_at = clock.now()
    browser = office.browser("clerk")
    browser.get(f"/admin/conversations/{THEIRS}")
    page = browser.send("/admin/conversation/reply", content="Yes,\r\ndo come.")
    assert "The answer is queued." in text_of(page)
    (handed,) = poll(office)
    assert (handed["to"], handed["content"]) == (THEIRS, "Yes,\ndo come.")
    with office.world.database.reading() as session:
        newest = conversations.messages(session, None, THEIRS, None, 1).messages[0]
        assert newest.lane == "d:phone-1"


def test_an_answer_that_is_sent_twice_by_the_same_form_is_queued_once(office: Office):
    receive(office, "Hello?")
    browser = office.browser("clerk")
    browser.get(f"/admin/conversations/{THEIRS}")
    form = browser.form("/admin/conversation/reply").fields
    for _ in range(2):
        browser.post("/admin/conversation/reply", {**form, "content": "Yes"})
    browser.post("/admin/conversation/reply", {**form, "content": "Yes, sure"})
    assert [one["content"] for one in poll(office)] == ["Yes", "Yes, sure"]


def test_an_answer_survives_a_session_that_has_ended(office: Office):
    receive(office, "Hello?")
    browser = office.browser("clerk")
    browser.get(f"/admin/conversations/{THEIRS}")
    form = browser.form("/admin/conversation/reply").fields
    with office.world.database.transaction() as session:
        session.execute(sa.delete(BrowserSession))
    page = browser.post("/admin/conversation/reply", {**form, "content": "A long answer"})
    assert "A+long+answer" in page.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"content": ""}, "content"),
        ({"content": "x" * 40_000}, "content"),
        ({"content": HOSTILE + "y" * 1000}, "content"),
        ({"content": "a\x00b"}, "content"),
        ({"content": "Hi", "crm": "nobody"}, "Choose a CRM."),
        ({"content": "Hi", "crm": ""}, "Choose a CRM."),
        ({"content": "Hi", "key": "msg_" + "0" * 32}, "No message"),
        ({"content": "Hi", "key": "MPESA"}, "There is no such conversation."),
    ],
)
def test_an_answer_that_cannot_be_sent_is_refused_in_words(office: Office, fields, words):
    receive(office, "Hello?")
    browser = office.browser("clerk")
    browser.get(f"/admin/conversations/{THEIRS}")
    page = browser.send("/admin/conversation/reply", **fields)
    assert 400 <= page.status_code < 500
    assert words in page.text
    assert poll(office) == []


def test_a_number_that_said_stop_is_not_answered_and_the_page_says_why(office: Office):
    receive(office, "STOP")
    browser = office.browser("clerk")
    page = browser.get(f"/admin/conversations/{THEIRS}")
    assert "This number said STOP on" in text_of(page)
    assert "Remove it from the list first" in text_of(page)
    page = browser.send("/admin/conversation/reply", content="Please come back")
    assert "opted out" in text_of(page)
    assert "Please come back" in page.text
    assert poll(office) == []


def test_a_number_that_was_put_on_the_list_by_hand_did_not_say_stop(office: Office):
    with office.world.database.transaction() as session:
        history = HistoryWriter(NOW)
        crm = crms.get(session, "clinic")
        opt_outs.add(session, crm.id, THEIRS, opt_outs.Cause("api"), history)
        history.write(session)
    page = text_of(office.browser("clerk").get(f"/admin/conversations/{THEIRS}"))
    assert "said STOP" not in page
    assert "was put on the list of those who want no messages on" in page


def test_a_sender_with_a_name_has_a_conversation_without_a_box_for_answers(office: Office):
    receive(office, "Your code is 1234", "news/../BANK")
    browser = office.browser("operator")
    page = browser.get("/admin/conversations?number=news/../BANK")
    assert page.status_code == 303
    page = browser.get(page.headers["Location"])
    assert "Your code is 1234" in text_of(page)
    assert "it cannot be answered" in text_of(page)
    assert "/admin/conversation/reply" not in page.text


def test_a_number_is_found_however_it_is_written(office: Office):
    receive(office, "Hello")
    browser = office.browser("clerk")
    page = browser.get("/admin/conversations?number=+49 151 1234-5671")
    assert page.headers["Location"].endswith(f"/admin/conversations/{THEIRS}")
    page = browser.get(f"/admin/conversations?number={THEIRS.removeprefix('+')}")
    assert page.headers["Location"].endswith(f"/admin/conversations/{THEIRS}")
    receive(office, "Your code", "Sparkasse")
    assert browser.get("/admin/conversations?number=sparkasse").status_code == 303
    page = browser.get("/admin/conversations?number=%2B491511111")
    assert "There is no conversation with" in text_of(page)
    assert browser.get(f"/admin/conversations?number={'x' * 300}").status_code == 422


def test_a_clerk_of_one_crm_sees_no_conversation_of_others(office: Office):
    queue(office, "secret out")
    receive(office, "secret in")
    restrict_clerk(office, "other")
    newest = newest_id(office)
    browser = office.browser("clerk")
    for path in ("", "/news?seen=", f"/{THEIRS}", f"/{THEIRS}/news?seen=", f"/{newest}"):
        assert "secret" not in browser.get(f"/admin/conversations{path}").text
    assert browser.page.status_code == 404
    browser.get(f"/admin/conversations/{THEIRS}")
    page = browser.send("/admin/conversation/reply", content="Hi", crm="clinic")
    assert page.status_code == 422
    assert poll(office) == []


def test_a_clerk_of_one_crm_marks_nothing_as_read_for_others(office: Office):
    restrict_clerk(office, "other")
    receive(office, "to both")
    clerk = office.browser("clerk")
    assert "new ·" in text_of(clerk.get(f"/admin/conversations/{THEIRS}"))
    assert "new ·" not in text_of(clerk.get(f"/admin/conversations/{THEIRS}"))
    assert "1 new" in text_of(office.browser("operator").get("/admin/conversations"))


def test_a_clerk_of_one_crm_reads_the_names_and_webhooks_of_no_others(office: Office):
    office.world.client.post(
        "/api/v1/webhooks",
        json={"url": "https://93.184.215.14/secret-place"},
        headers=office.world.as_crm(),
    )
    restrict_clerk(office, "other")
    receive(office, "to both")
    message_id = newest_id(office)
    paths = ("conversations", f"conversations/{THEIRS}", "messages", f"messages/{message_id}")
    for role, is_named in (("clerk", False), ("operator", True)):
        pages = [office.browser(role).get(f"/admin/{path}").text for path in paths]
        assert all("other" in page for page in pages)
        assert [("clinic" in page) for page in pages] == [is_named] * 4
        assert ("secret-place" in pages[3]) == is_named


def test_an_answer_is_in_the_name_of_who_wrote_last_or_of_who_is_chosen(office: Office):
    office.world.add_crm("another")
    receive(office, "Hello?")
    browser = office.browser("clerk")
    browser.get(f"/admin/conversations/{THEIRS}")
    assert browser.form("/admin/conversation/reply").fields["crm"] == ""
    queue(office, "Good morning")
    receive(office, "Thank you")
    browser.get(f"/admin/conversations/{THEIRS}")
    assert browser.form("/admin/conversation/reply").fields["crm"] == "clinic"


def test_the_marks_of_one_clerk_go_where_another_reads(office: Office):
    receive(office, "Hello?")
    first, second = office.browser("clerk"), office.browser("operator")
    assert "1 new" in text_of(first.get("/admin/conversations"))
    news = news_of(first)
    assert first.get(news).status_code == 204
    second.get(f"/admin/conversations/{THEIRS}")
    assert "1 new" not in text_of(first.get(news))
    assert first.page.status_code == 200


def test_a_message_leads_to_its_conversation(office: Office):
    message_id = queue(office, "Hello")
    page = office.browser("clerk").get(f"/admin/messages/{message_id}")
    assert f'href="/admin/conversations/{THEIRS}"' in page.text
    page = office.browser("viewer").get(f"/admin/messages/{message_id}")
    assert f'href="/admin/conversations/{message_id}"' in page.text


def test_a_viewer_sees_no_whole_number_anywhere_and_no_box(office: Office):
    queue(office, "call +4915112345679")
    receive(office, "my number is 015112345679")
    browser = office.browser("viewer")
    page = browser.get("/admin/conversations")
    assert "4915112345" not in page.text
    page = browser.get(page.text.partition('scope="row"><a href="')[2].partition('"')[0])
    assert "+49…71" in page.text
    assert "5112345" not in page.text
    assert "/admin/conversation/reply" not in page.text


@pytest.mark.parametrize("content", [HOSTILE, "<script>alert(1)</script>" + "y" * 40_000])
def test_hostile_texts_are_shown_as_texts(office: Office, content: str):
    receive(office, content, "<img src=x onerror=alert(1)>")
    browser = office.browser("operator")
    page = browser.get("/admin/conversations")
    key = page.text.partition('scope="row"><a href="')[2].partition('"')[0]
    for text in (page.text, browser.get(key).text):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert len(text) < 30_000


def test_news_come_once_and_bring_what_is_new_and_delivered(office: Office):
    queue(office, "on its way")
    browser = office.browser("clerk")
    browser.get(f"/admin/conversations/{THEIRS}")
    news = news_of(browser)
    assert browser.get(news).status_code == 204
    (handed,) = poll(office)
    poll(office, updates=[{"id": handed["id"], "status": "DELIVERED"}])
    page = browser.get(news)
    assert "Delivered at" in text_of(page)
    news = news_of(browser)
    receive(office, "their answer")
    assert "their answer" in browser.get(news).text
    assert browser.get(news_of(browser)).status_code == 204


def test_the_list_is_shown_again_when_there_is_a_newer_message(office: Office):
    browser = office.browser("viewer")
    browser.get("/admin/conversations")
    assert browser.get(news_of(browser)).status_code == 204
    receive(office, "Hello")
    assert "Hello" in browser.get("/admin/conversations/news?seen=").text


def test_a_list_goes_on_page_by_page_to_the_oldest(office: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browsing, "SEARCHED_AT_ONCE", 8)
    monkeypatch.setattr("smsgw.dashboard.conversations.PAGE_SIZE", 3)
    for n in range(10):
        queue(office, f"text {n}", f"+49151123457{n}0")
    browser, seen = office.browser("clerk"), []
    page = browser.get("/admin/conversations")
    for _ in range(10):
        seen += [n for n in range(10) if f"text {n}" in page.text]
        older = page.text.partition('rel="next" href="')[2].partition('"')[0]
        if not older:
            break
        page = browser.get(older.replace("&amp;", "&"))
    assert sorted(seen) == list(range(10))


def test_a_conversation_goes_on_page_by_page(office: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("smsgw.dashboard.conversation.PAGE_SIZE", 3)
    for n in range(4):
        queue(office, f"out {n}")
        receive(office, f"in {n}")
    browser, seen = office.browser("clerk"), ""
    page = browser.get(f"/admin/conversations/{THEIRS}")
    for _ in range(3):
        seen += text_of(page)
        older = page.text.partition('rel="next" href="')[2].partition('"')[0]
        page = browser.get(older.replace("&amp;", "&"))
    for n in range(4):
        assert seen.count(f"out {n}") == seen.count(f"in {n}") == 1


def test_the_newest_of_a_number_with_very_many_messages_are_found(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(conversations, "MOST_BY_HASH", 3)
    for n in range(6):
        queue(office, f"text {n}")
    assert "text 5" in text_of(office.browser("clerk").get(f"/admin/conversations/{THEIRS}"))


@pytest.mark.parametrize("cursor", ["x", ":x", "msg_1:", "a:b:c"])
def test_a_wrong_cursor_is_refused(office: Office, cursor: str):
    browser = office.browser("viewer")
    assert browser.get(f"/admin/conversations?cursor={cursor}").status_code == 422
    assert browser.get(f"/admin/conversations/{THEIRS}?cursor={cursor}").status_code == 422


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"content": " "}, ""),
        ({"content": "Hello"}, "1 segment · 155 left in it"),
        ({"content": "Привет"}, "70 fit into one because of"),
        ({"content": "x" * 161}, "2 segments"),
        ({"content": "x" * 40_000}, "1600"),
        ({"content": "Hello", "to": "abc"}, "number"),
        ({"content": "Hello", "crm": "nobody"}, "Choose a CRM."),
    ],
)
def test_segments_are_counted_by_the_rules_of_queueing(office: Office, fields, words):
    receive(office, "Hello")
    browser = office.browser("clerk")
    browser.get(f"/admin/conversations/{THEIRS}")
    form = browser.form("/admin/conversation/reply").fields
    page = browser.post("/admin/segments", {**form, **fields}, {"HX-Request": "true"})
    assert page.status_code == 200
    assert words in text_of(page).replace(",", "")


def test_counting_after_the_session_has_ended_leaves_the_page_and_says_so(office: Office):
    page = office.browser().post("/admin/segments", {"content": "x"}, {"HX-Request": "true"})
    assert page.status_code == 401
    assert page.headers["HX-Retarget"] == "#notice"
    assert "HX-Redirect" not in page.headers


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/admin/conversations", "operator"),
        ("/admin/conversations", "clerk"),
        ("/admin/conversations?cursor={id}:{id}", "operator"),
        ("/admin/conversations/news?seen=msg_0", "operator"),
        (f"/admin/conversations/{THEIRS}", "operator"),
        (f"/admin/conversations/{THEIRS}", "clerk"),
        ("/admin/conversations/{id}", "viewer"),
        (f"/admin/conversations/{THEIRS}/news?seen=x", "operator"),
    ],
)
def test_a_page_about_conversations_costs_little(office: Office, path: str, role: str):
    restrict_clerk(office, "other")
    message_id = queue(office, "Hello")
    poll(office)
    receive(office, "Hello")
    check_cheap(office, path.format(id=message_id), role)
