"""The pages about messages: searching, the way of one, cancelling and resending what is ticked."""

import csv
import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import operators
from smsgw.core.devices import registry
from smsgw.core.messages import browsing
from smsgw.store.models import Message

from .cheap import check_cheap
from .conftest import Office, text_of

RTL = "‮evil‬ <script>alert(1)</script> https://x.example/?a=1&b=2 {{ 7*7 }}"


def queue(office: Office, content: str = "Hello", to: str = "+4915112345670", **more: Any) -> str:
    """Queues an SMS and returns its id."""
    body = {"to": to, "content": content, **more}
    answer = office.world.client.post("/api/v1/messages", json=body, headers=office.world.as_crm())
    assert answer.status_code == 202, answer.text
    return answer.json["id"]


def poll(office: Office, *, updates: Any = (), messages: Any = ()) -> list[dict[str, Any]]:
    """Polls as phone-1 and returns what it is handed."""
    body = {"messages": list(messages), "updates": list(updates)}
    answer = office.world.client.post("/api/sms", json=body, headers=office.world.as_device())
    return answer.json["messages"]


def receive(office: Office, content: str, sender: str = "+4915112345671") -> None:
    poll(
        office,
        messages=[
            {
                "id": content[:20],
                "from": sender,
                "content": content,
                "sms_sent": 0,
                "sms_received": 1,
            }
        ],
    )


def fail(office: Office, message_id: str, reason: str = "generic failure") -> None:
    (handed,) = poll(office)
    poll(office, updates=[{"id": handed["id"], "status": "FAILED", "reason": reason}])


def test_the_list_says_what_to_do_while_there_are_no_messages(office: Office):
    page = office.browser("clerk").get("/admin/messages")
    assert "There are no messages yet." in text_of(page)


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("q=hELLO", True),
        ("q=nothing+like+it", False),
        ("number=%2B49+151+12345670", True),
        ("number=+4915112345670", True),
        ("number=%2B4915100000000", False),
        ("reference=order-1", True),
        ("status=queued", True),
        ("status=failed", False),
        ("direction=inbound", False),
        ("device_id=phone-2", False),
        ("crm=clinic", True),
        ("since=2020-01-01", True),
        ("until=2020-01-01", False),
    ],
)
def test_messages_are_found_by_all_that_the_form_asks(office: Office, query: str, is_found: bool):
    queue(office, "Hello Zoë", reference="order-1")
    page = office.browser("operator").get(f"/admin/messages?{query}")
    assert ("Hello Zoë" in text_of(page)) == is_found
    assert ("No message matches" in text_of(page)) == (not is_found)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=lost", "There is no status &#39;lost&#39;."),
        ("since=yesterday", "&#39;yesterday&#39; is not a day."),
        ("until=9999-01-01", "The day must be between 1970 and 2999."),
        ("crm=nobody", "nobody"),
        ("cursor=x", "cursor"),
        (f"q={'x' * 300}", "at most 255 characters"),
    ],
)
def test_a_search_for_something_impossible_is_refused_in_words(office: Office, query, words):
    page = office.browser("operator").get(f"/admin/messages?{query}")
    assert 400 <= page.status_code < 500
    assert words in page.text


def test_a_text_is_shown_as_it_is_and_nothing_in_it_has_an_effect(office: Office):
    message_id = queue(office, RTL)
    for path in ("/admin/messages", f"/admin/messages/{message_id}"):
        page = office.browser("operator").get(path)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
        assert "<script>alert" not in page.text
        assert "{{ 7*7 }}" in page.text


def test_a_search_ends_after_a_part_of_the_history_and_goes_on_at_a_click(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(browsing, "SEARCHED_AT_ONCE", 3)
    queue(office, "needle")
    for n in range(6):
        queue(office, f"hay {n}")
    browser = office.browser("operator")
    page = browser.get("/admin/messages?q=needle")
    clicks = 0
    while "Search further back" in page.text:
        page = browser.get(
            page.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        )
        clicks += 1
    assert clicks in (1, 2)
    assert "needle" in text_of(page)


def test_a_list_has_a_second_page_with_the_rest(office: Office):
    for n in range(51):
        queue(office, f"text {n:02}")
    browser = office.browser("viewer")
    page = browser.get("/admin/messages")
    assert "text 50" in text_of(page)
    assert "text 00" not in text_of(page)
    older = page.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "text 00" in text_of(browser.get(older))
    assert 'rel="next"' not in browser.page.text


def test_the_counts_of_each_status_are_links(office: Office):
    fail(office, queue(office, "one"))
    queue(office, "two")
    page = office.browser("operator").get("/admin/messages?q=")
    assert "Queued 1 Failed 1" in text_of(page)
    page = office.browser("operator").get("/admin/messages?status=failed")
    assert "Queued 1 Failed 1 All" in text_of(page)


def test_a_message_shows_its_way_and_what_it_waits_for(office: Office):
    message_id = queue(office, "Hello")
    browser = office.browser("clerk")
    page = text_of(browser.get(f"/admin/messages/{message_id}"))
    assert "Waiting since" in page
    assert "phone-1" in page
    poll(office)
    page = text_of(browser.get(f"/admin/messages/{message_id}"))
    assert "Handed to the phone at" in page
    assert "hand-out 1 of" in page


def test_a_message_says_what_to_do_without_commands(office: Office):
    message_id = queue(office)
    with office.world.database.transaction() as session:
        registry.get(session, "phone-1").enabled = False
    page = text_of(office.browser("clerk").get(f"/admin/messages/{message_id}"))
    assert "is disabled on the server" in page
    assert "Enable it on its page." in page
    assert "smsgw device" not in page
    with office.world.database.transaction() as session:
        session.execute(
            sa.update(Message).values(
                status="failed", reason="no-service", reason_class="temporary"
            )
        )
    page = text_of(office.browser("viewer").get(f"/admin/messages/{message_id}"))
    assert "The phone had no network. Resend it when the phone has one again." in page


def test_news_of_a_message_come_once_and_its_end_is_not_asked_for(office: Office):
    message_id = queue(office, "Hello")
    browser = office.browser("clerk")
    page = browser.get(f"/admin/messages/{message_id}")
    news = page.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(news).status_code == 204
    fail(office, message_id)
    page = browser.get(news)
    assert "Failed at" in text_of(page)
    assert "generic failure" in page.text
    assert "or the SIM has no credit." in page.text
    assert "hx-get" not in page.text


def test_the_list_says_that_there_are_newer_messages(office: Office):
    queue(office, "first")
    browser = office.browser("viewer")
    news = browser.get("/admin/messages").text.partition('id="news" hx-get="')[2].partition('"')[0]
    assert browser.get(news).status_code == 204
    queue(office, "second")
    assert "There are newer messages." in browser.get(news).text


def test_a_queued_message_is_cancelled(office: Office):
    message_id = queue(office)
    browser = office.browser("clerk")
    browser.get(f"/admin/messages/{message_id}")
    assert "Cancelled at" in text_of(browser.send("/admin/message/cancel"))
    assert poll(office) == []


def test_a_message_that_a_phone_took_meanwhile_is_not_cancelled_and_the_page_says_so(
    office: Office,
):
    message_id = queue(office)
    browser = office.browser("clerk")
    browser.get(f"/admin/messages/{message_id}")
    poll(office)
    page = browser.send("/admin/message/cancel")
    assert page.status_code == 409
    assert "only a queued one can be cancelled" in page.text


def test_a_failed_message_is_resent(office: Office):
    message_id = queue(office)
    fail(office, message_id)
    browser = office.browser("clerk")
    browser.get(f"/admin/messages/{message_id}")
    assert "Waiting since" in text_of(browser.send("/admin/message/resend"))
    assert len(poll(office)) == 1


def test_the_review_says_what_happens_to_the_ticked_ones_before_it_does(office: Office):
    failed = queue(office, "failed")
    fail(office, failed)
    queued = queue(office, "queued")
    browser = office.browser("operator")
    browser.get("/admin/messages")
    form = browser.form("/admin/messages/review").fields
    page = browser.post("/admin/messages/review", {**form, "ids": [failed, queued], "do": "resend"})
    assert "1 will be queued again." in text_of(page)
    assert "1 cannot be resent, because they have neither failed nor expired." in text_of(page)
    page = browser.send("/admin/messages/resend")
    assert "1 message was queued again." in text_of(page)
    page = browser.post("/admin/messages/review", {**form, "ids": [failed, queued], "do": "cancel"})
    assert "2 of them wait in the queue" in text_of(page)


def test_one_that_may_arrive_twice_is_resent_only_where_that_was_ticked(office: Office):
    message_id = queue(office)
    poll(office)
    with office.world.database.transaction() as session:
        message = browsing.lock(session, None, message_id)
        message.status, message.reason_class = "failed", "unconfirmed"
    browser = office.browser("operator")
    browser.get("/admin/messages")
    form = browser.form("/admin/messages/review").fields
    page = browser.post("/admin/messages/review", {**form, "ids": message_id, "do": "resend"})
    assert "1 may have been sent by the phone already." in text_of(page)
    page = browser.send("/admin/messages/resend")
    assert "1 not queued again: the phone may have sent this message" in text_of(page)
    browser.post("/admin/messages/review", {**form, "ids": message_id, "do": "resend"})
    page = browser.send("/admin/messages/resend", may_duplicate="yes")
    assert "1 message was queued again." in text_of(page)


def test_nothing_ticked_is_said_on_the_list(office: Office):
    queue(office)
    browser = office.browser("clerk")
    browser.get("/admin/messages")
    page = browser.send("/admin/messages/review", do="cancel")
    assert "Tick the messages first." in text_of(page)


def test_a_clerk_of_one_crm_neither_sees_nor_touches_what_others_send(office: Office):
    office.world.add_crm("other")
    with office.world.database.transaction() as session:
        operators.assign(session, operators.get(session, "clerk"), ["other"])
    message_id = queue(office, "secret")
    browser = office.browser("clerk")
    page = browser.get("/admin/messages")
    assert "secret" not in page.text
    token = browser.page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert browser.get(f"/admin/messages/{message_id}").status_code == 404
    assert "secret" not in browser.get("/admin/messages.csv").text
    assert browser.get("/admin/messages?crm=clinic").status_code == 404
    fields = {"csrf_token": token, "id": message_id, "ids": message_id}
    assert browser.post("/admin/message/cancel", fields).status_code == 404
    browser.post("/admin/messages/cancel", fields)
    assert len(poll(office)) == 1


def test_a_viewer_sees_no_whole_number_and_no_button(office: Office):
    queue(office, "call +4915112345679")
    receive(office, "from me")
    browser = office.browser("viewer")
    for path in ("/admin/messages", "/admin/messages.csv"):
        page = browser.get(path)
        assert "4915112345" not in page.text
        assert "/admin/messages/review" not in page.text
    assert "+49…70" in browser.page.text


def test_days_are_those_of_the_browsers_zone(office: Office):
    queue(office, "near midnight somewhere")
    with office.world.database.reading() as session:
        (at,) = session.scalars(sa.select(Message.created_at))
    # Two zones that never have the same day.
    days = {zone: at.astimezone(ZoneInfo(zone)).date() for zone in ("Etc/GMT-14", "Etc/GMT+12")}
    ahead, behind = days.values()
    browser = office.browser("clerk")
    for query, zone, is_found in (
        (f"since={ahead}", "Etc/GMT-14", True),
        (f"since={ahead}", "Etc/GMT%2B12", False),
        (f"until={behind}", "Etc/GMT-14", False),
        (f"until={behind}", "Etc/GMT%2B12", True),
    ):
        page = browser.get(f"/admin/messages?{query}&zone={zone}")
        assert ("near midnight" in text_of(page)) == is_found


def test_the_download_is_a_table_in_which_no_text_is_a_formula(office: Office):
    queue(office, '=HYPERLINK("https://x.example")\n"two" lines; +1', reference="@ref")
    receive(office, "Grüße")
    page = office.browser("operator").get("/admin/messages.csv?q=")
    rows = list(csv.DictReader(io.StringIO(page.data.decode("utf-8-sig"), newline="")))
    assert [row["content"] for row in rows] == [
        "Grüße",
        '\'=HYPERLINK("https://x.example")\n"two" lines; +1',
    ]
    assert rows[1]["reference"] == "'@ref"
    assert rows[1]["to"] == "+4915112345670"


def test_the_download_has_no_formula_for_a_sender_and_the_delimiter_of_the_language(office: Office):
    receive(office, "Hello; you", sender="=1+2")
    browser = office.browser("operator")
    for language, delimiter in (("de-AT,en;q=0.5", ";"), ("en-GB,de;q=0.5", ","), ("", ",")):
        page = browser.get("/admin/messages.csv", {"Accept-Language": language})
        lines = io.StringIO(page.data.decode("utf-8-sig"), newline="")
        (row,) = csv.DictReader(lines, delimiter=delimiter)
        assert (row["from"], row["content"]) == ("'=1+2", "Hello; you")


@pytest.mark.parametrize(
    "path",
    [
        "/admin/messages",
        "/admin/messages?q=hello&status=failed&since=2020-01-01",
        "/admin/messages?number=%2B4915112345670",
        "/admin/messages?crm=clinic&status=queued",
        "/admin/messages/news?seen=msg_0",
        "/admin/messages/{id}",
    ],
)
def test_a_page_about_messages_costs_little(office: Office, path: str):
    message_id = queue(office)
    poll(office)
    receive(office, "Hello")
    check_cheap(office, path.format(id=message_id))
