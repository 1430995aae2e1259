"""GET /api/v1/messages: pages, filters, who sees what, and one message with its history."""

import pytest
import sqlalchemy as sa

from smsgw import clock

from .conftest import DRAFT, NUMBER, Api


def _ids(api: Api, headers=None, **query):
    answer = api.get("/messages", headers, **query)
    assert answer.status_code == 200, answer.text
    return [message["id"] for message in answer.json["data"]]


def _contents(api: Api, headers=None, **query):
    answer = api.get("/messages", headers, **query)
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json["data"]]


def test_nothing_is_an_empty_page(api: Api):
    assert api.get("/messages").json == {"data": [], "next_cursor": None}


def test_what_was_sent_and_what_came_in_stand_in_one_list_newest_first(api: Api):
    api.send(content="1")
    api.receive("a", content="2")
    api.send(content="3")
    api.receive("b", content="4")
    assert _contents(api) == ["4", "3", "2", "1"]


def test_pages_show_each_message_once_and_end(api: Api):
    for number in range(7):
        api.send(content=f"out {number}")
        api.receive(f"in-{number}")
    seen, cursor, sizes = [], None, []
    while True:
        query = {} if cursor is None else {"cursor": cursor}
        page = api.get("/messages", limit=4, **query).json
        seen += [message["id"] for message in page["data"]]
        sizes.append(len(page["data"]))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sizes == [4, 4, 4, 2]
    assert seen == _ids(api)
    assert len(set(seen)) == 14


def test_a_full_last_page_has_no_next_one(api: Api):
    api.send()
    api.send()
    assert api.get("/messages", limit=2).json["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [{}, {"status": "sent"}, {"status": "received"}, {"reference": "r"}, {"since": "2026-01-01T00:00:00Z"}],
)  # fmt: skip
def test_a_page_is_read_along_an_index_and_never_sorted(api: Api, query):
    if not api.world.database.is_sqlite:
        pytest.skip("PostgreSQL plans an empty table otherwise")
    engine = api.world.database.engine
    seen = []
    sa.event.listen(
        engine,
        "before_cursor_execute",
        lambda _c, _k, statement, values, *_: seen.append((statement, values)),
    )
    api.get("/messages", **query)
    with engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            for statement, values in list(seen)
            if "LIMIT" in statement and "messages" in statement
        ]
    steps = [step[3] for plan in plans for step in plan]
    assert steps
    scans = [step for step in steps if step.startswith("SCAN") and "anon" not in step]
    assert scans == []
    # The pages of what was sent and of what came in are put in order, not what they were chosen from.
    assert sum("TEMP B-TREE FOR ORDER BY" in step for step in steps) <= 1


@pytest.mark.parametrize("cursor", ["x", "msg_", "msg_" + "g" * 32, "1", "evt_" + "0" * 32])
def test_a_cursor_that_is_none_is_refused(api: Api, cursor):
    answer = api.get("/messages", cursor=cursor)
    assert (answer.status_code, list(answer.json["details"])) == (422, ["cursor"])


@pytest.mark.parametrize(
    ("content", "queries", "others"),
    [
        ("MÜLLER", ["müller", "Mu\u0308ller", "MU\u0308LLER", "ü", "ller"], ["muller", "u"]),
        ("Mu\u0308ller", ["müller", "MÜLLER", "Mu\u0308ller"], ["muller", "mu"]),
        ("Große Straße", ["STRASSE", "straße", "gross", "STRA\u1e9eE"], ["strase"]),
        ("ΟΔΥΣΣΕΥΣ", ["οδυσσευς", "οδυσσευσ", "ΟΔΥΣΣΕΥΣ"], ["οδυσευς"]),
        ("ПРИВЕТ", ["привет", "Привет"], ["превет"]),
        ("İSTANBUL", ["İstanbul", "i\u0307stanbul", "stanbul"], ["ıstanbul"]),
        ("ılık", ["ılık", "LıK"], ["ilik", "ILIK"]),
        ("\ufb01n \u212a", ["FIN", "k", "n k"], ["x"]),
        (
            "\u1fb7 \u1fc7",
            ["\u0391\u0342\u0345", "\u1fbc\u0342", "\u0397\u0342\u0345"],
            ["\u03b1 "],
        ),
        ("50%_off/\\x", ["50%", "%_o", "_OFF/", "/\\X"], ["5%0", "50_off", "%%"]),
        ("plain ASCII i", ["PLAIN", "ascii I"], ["plaın", "ẞ"]),
    ],
)
def test_a_search_finds_text_in_any_case_and_composition(api: Api, content, queries, others):
    api.send(content=content)
    api.receive("a", content=content)
    for q in queries:
        assert _contents(api, q=q) == [content, content], ascii(q)
    for q in others:
        assert _contents(api, q=q) == [], ascii(q)


def test_a_search_goes_on_where_many_rows_do_not_match(api: Api):
    texts = [f"ä {number}" for number in range(1200)]
    for start in (0, 600):
        drafts = [{**DRAFT, "content": text} for text in texts[start : start + 600]]
        assert api.post("/messages/batch", {"messages": drafts}).status_code == 202
    assert (
        _contents(api, q="Ä 7")
        == sorted(
            (text for text in texts if text.startswith("ä 7")), key=lambda text: -int(text[2:])
        )[:50]
    )
    assert _contents(api, q="Ä 0") == ["ä 0"]
    page = api.get("/messages", q="Ä 7", limit="100").json
    more = api.get("/messages", q="Ä 7", limit="100", cursor=page["next_cursor"]).json
    assert (len(page["data"]), len(more["data"]), more["next_cursor"]) == (100, 11, None)


def test_the_filters_choose(api: Api):
    api.world.add_device("phone-2")
    api.receive("a", sender="+1 (202) 555-0123", content="Hello 100%")
    api.send(content="to phone-2", device_id="phone-2", reference="r-1")
    api.send(to="+12025550199", content="ÄRGER_1")
    api.call("DELETE", f"/messages/{_ids(api)[0]}")
    assert _contents(api, direction="inbound") == ["Hello 100%"]
    assert _contents(api, direction="outbound") == ["ÄRGER_1", "to phone-2"]
    assert _contents(api, status="cancelled") == ["ÄRGER_1"]
    assert _contents(api, device_id="phone-1") == ["Hello 100%"]
    assert _contents(api, reference="r-1") == ["to phone-2"]
    assert _contents(api, q="hello") == ["Hello 100%"]
    assert _contents(api, q="100%") == ["Hello 100%"]
    assert _contents(api, q="%") == ["Hello 100%"]
    assert _contents(api, q="_1") == ["ÄRGER_1"]
    assert _contents(api, q="0199") == ["ÄRGER_1"]
    assert _contents(api, **{"from": "+1 202 555 0123"}) == ["Hello 100%"]
    assert _contents(api, to="+1-202-555-0199") == ["ÄRGER_1"]
    assert _contents(api, to="+12025550199", direction="inbound") == []
    assert _contents(api, status="received") == ["Hello 100%"]
    assert _contents(api, status="received", direction="outbound") == []


def test_a_name_as_sender_is_found(api: Api):
    api.receive("a", sender="MPESA", content="money")
    assert _contents(api, **{"from": "MPESA"}) == ["money"]


def test_since_is_included_and_until_is_not(api: Api):
    api.send(content="1")
    api.send(content="2")
    api.receive("a", content="3")
    third, second, _ = api.get("/messages").json["data"]
    assert _contents(api, since=second["created_at"])[0] == "3"
    assert "2" in _contents(api, since=second["created_at"])
    assert "3" not in _contents(api, until=third["created_at"])
    assert _contents(api, until="2001-01-01T00:00:00Z") == []
    assert _contents(api, since="2900-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query",
    [
        {"direction": "up"},
        {"status": "lost"},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "x"},
        {"limit": "9" * 5000},
        {"limit": "1_0"},
        {"limit": "\u0663"},
        {"limit": "1.0"},
        {"limit": ["1", "1"]},
        {"status": ["sent", "failed"]},
        {"since": "yesterday"},
        {"since": "2026-03-01T12:00:00"},
        {"stauts": "sent"},
        {"q": ""},
    ],
)
def test_a_wrong_filter_is_named(api: Api, query):
    answer = api.get("/messages", **query)
    assert (answer.status_code, list(answer.json["details"])) == (422, list(query))


def test_another_crms_messages_are_not_there(api: Api):
    api.world.add_device("phone-2")
    _, key = api.world.add_crm("other", ["phone-2"])
    other = api.world.as_crm(key)
    sent = api.send()
    api.receive("a")
    received = _ids(api, direction="inbound")[0]
    assert _ids(api, other) == []
    for message_id in (sent, received):
        assert api.get(f"/messages/{message_id}", other).status_code == 404
        assert api.call("DELETE", f"/messages/{message_id}", other).status_code == 404
        assert api.post(f"/messages/{message_id}/resend", {}, other).status_code == 404


def test_two_crms_of_one_device_both_see_what_came_in(api: Api):
    _, key = api.world.add_crm("other")
    api.receive("a", content="for both")
    assert _contents(api) == _contents(api, api.world.as_crm(key)) == ["for both"]


def test_a_crm_that_came_later_does_not_see_what_came_in_before(api: Api):
    api.receive("a")
    _, key = api.world.add_crm("other")
    assert _ids(api, api.world.as_crm(key)) == []


def test_an_inbound_message_tells_its_three_times(api: Api):
    api.poll(
        [{"id": "a", "from": NUMBER, "content": "x", "sms_sent": 0, "sms_received": 1772366698000}]
    )
    (shown,) = api.get("/messages").json["data"]
    whole = api.get(f"/messages/{shown['id']}").json
    assert whole["received_at"] == whole["created_at"]
    assert whole["device_received_at"] == "2026-03-01T12:04:58.000Z"
    assert whole["sms_sent_at"] is None
    assert whole["waiting_for"] is None
    assert [entry["status"] for entry in whole["history"]] == ["received"]


def test_one_message_has_its_history_and_its_dispatches(api: Api):
    message_id = api.send()
    (handed,) = api.poll()
    api.poll(updates=[{"id": handed["id"], "status": "UNSENT"}])
    whole = api.get(f"/messages/{message_id}").json
    assert [
        (entry["status"], entry["device_id"], entry["dispatch_id"]) for entry in whole["history"]
    ] == [
        ("queued", None, None),
        ("dispatched", "phone-1", handed["id"]),
        ("accepted", "phone-1", handed["id"]),
    ]
    (dispatch,) = whole["dispatches"]
    assert dispatch["id"] == handed["id"]
    assert (dispatch["device_id"], dispatch["status"]) == ("phone-1", "accepted")
    assert dispatch["hand_out_count"] == 1
    assert dispatch["acknowledged_at"] is not None


def _waits(api: Api, message_id: str) -> tuple[str, str, str]:
    waiting = api.get(f"/messages/{message_id}").json["waiting_for"]
    assert set(waiting) == {"hop", "since", "device_id", "text"}
    return waiting["hop"], waiting["device_id"], waiting["text"]


def test_a_message_for_later_waits_for_its_time(api: Api):
    hop, _, text = _waits(api, api.send(send_at="2100-01-01T12:00:00Z", ttl=3600))
    assert hop == "schedule"
    assert "2100-01-01T12:00:00Z" in text


def test_a_queued_message_waits_for_a_phone_and_says_what_is_the_matter_with_it(api: Api):
    message_id = api.send()
    assert _waits(api, message_id)[:2] == ("device", "phone-1")
    assert "never polled" in _waits(api, message_id)[2]
    api.see_device(clock.from_epoch_ms(1772366698000))
    assert "silent since 2026-03-01T12:04:58Z" in _waits(api, message_id)[2]
    api.see_device(clock.now())
    assert "next polls" in _waits(api, message_id)[2]
    api.set_device(enabled=False)
    assert "disabled" in _waits(api, message_id)[2]


def test_an_app_with_a_socket_does_not_poll(api: Api):
    api.set_device(protocol="socket")
    message_id = api.send()
    assert "never connected" in _waits(api, message_id)[2]
    api.set_device(last_seen_at=clock.now(), socket_id="a")
    assert "over its open socket" in _waits(api, message_id)[2]
    api.set_device(protocol="mysmsapio", socket_id=None)
    assert "when it opens its socket" in _waits(api, message_id)[2]


def test_a_queued_message_names_the_likeliest_of_several_phones(api: Api):
    api.world.add_device("phone-2")
    api.see_device(clock.now(), "phone-2")
    hop, device_id, text = _waits(api, api.send())
    assert (hop, device_id) == ("device", "phone-2")
    assert "of 2 phones" in text


def test_a_crm_without_phones_is_told_so(api: Api):
    _, key = api.world.add_crm("other", [])
    headers = api.world.as_crm(key)
    message_id = api.send(headers)
    waiting = api.get(f"/messages/{message_id}", headers).json["waiting_for"]
    assert (waiting["hop"], waiting["device_id"]) == ("device", None)
    assert "no device" in waiting["text"]


def test_a_message_for_a_removed_phone_is_told_so(api: Api):
    message_id = api.send(device_id="phone-1")
    api.call("DELETE", "/devices/phone-1", api.operator)
    hop, device_id, text = _waits(api, message_id)
    assert (hop, device_id) == ("device", "phone-1")
    assert "removed" in text


def test_a_full_window_is_what_the_next_message_waits_for(api: Api):
    limit = api.world.settings.in_flight_per_device
    for _ in range(limit):
        api.send()
    assert len(api.poll()) == limit
    api.see_device(clock.now())
    assert f"{limit} messages in hand" in _waits(api, api.send())[2]


def test_the_minutes_segments_are_what_the_next_message_waits_for(api: Api):
    long = "x" * 1000
    messages = [api.send(content=long) for _ in range(4)]
    assert len(api.poll()) == 3
    api.see_device(clock.now())
    waiting = api.get(f"/messages/{messages[-1]}").json["waiting_for"]
    assert set(waiting) == {"hop", "since", "device_id", "text", "until"}
    assert (waiting["hop"], waiting["device_id"]) == ("limit", "phone-1")
    assert "21 of 24 segments in the last 60 seconds and the message needs 7" in waiting["text"]


@pytest.mark.parametrize(
    ("words", "hop"),
    [
        ([], "confirmation"),
        (["UNSENT"], "phone"),
        (["UNSENT", "PENDING"], "network"),
        (["UNSENT", "PENDING", "UNSENT"], "radio"),
        (["UNSENT", "PENDING", "SENT"], "delivery_report"),
    ],
)
def test_a_message_on_a_phone_tells_its_hop(api: Api, words, hop):
    message_id = api.send()
    (handed,) = api.poll()
    for word in words:
        api.poll(updates=[{"id": handed["id"], "status": word}])
    waits = _waits(api, message_id)
    assert waits[:2] == (hop, "phone-1")
    assert "phone-1" in waits[2]


def test_an_unconfirmed_message_says_which_hand_out_it_is(api: Api):
    message_id = api.send()
    api.poll()
    assert "hand-out 1 of 5" in _waits(api, message_id)[2]


@pytest.mark.parametrize("word", ["DELIVERED", "FAILED"])
def test_a_finished_message_waits_for_nothing(api: Api, word):
    message_id = api.send()
    (handed,) = api.poll()
    api.poll(updates=[{"id": handed["id"], "status": word, "reason": "no-service"}])
    assert api.get(f"/messages/{message_id}").json["waiting_for"] is None


def test_a_resend_waits_for_what_comes_of_the_old_dispatch(api: Api):
    message_id = api.send()
    (handed,) = api.poll()
    failed = {"id": handed["id"], "status": "FAILED", "reason": "no-service"}
    api.poll(updates=[failed])
    assert api.post(f"/messages/{message_id}/resend", {}).status_code == 202
    assert api.poll(updates=[{"id": handed["id"], "status": "UNSENT"}]) == []
    hop, device_id, text = _waits(api, message_id)
    assert (hop, device_id) == ("phone", "phone-1")
    assert "the resend waits" in text


def test_a_word_that_is_not_understood_is_no_silence(api: Api):
    message_id = api.send()
    (handed,) = api.poll()
    api.poll(updates=[{"id": handed["id"], "status": "THINKING"}])
    hop, _, text = _waits(api, message_id)
    assert hop == "phone"
    assert "not understood" in text


def test_an_unknown_message_is_not_found(api: Api):
    for name in ("msg_" + "0" * 32, "x", "%00", "é", "a" * 3000):
        answer = api.get(f"/messages/{name}")
        assert answer.status_code == 404
        assert answer.json["error"] is True


def test_operators_send_nothing(api: Api):
    assert api.post("/messages", DRAFT, api.operator).status_code == 401


@pytest.mark.parametrize(
    "query",
    [
        "to=+12025550123",
        "to=%2B12025550123",
        "to=%2012025550123",
        "to=++12025550123",
        "to=+1+202+555-0123",
        "to=%2B1%20202%20555%200123",
        "to=+1%20(202)%20555-0123",
        "to=+%2B12025550123",
        "to=%2B+1202+5550123+",
        "to=0012025550123",
        "to=%EF%BC%8B12025550123",
        "q=+12025550123",
        "q=%2B12025550123",
        "q=+1202",
    ],
)
def test_a_number_with_a_plus_is_found_however_the_url_was_made(api: Api, query):
    wanted = api.send(to="+12025550123")
    api.send(to="+4915112345678")
    api.send(to="12025550123#"[:-1].replace("1202", "4202"))
    answer = api.call("GET", f"/messages?{query}")
    assert answer.status_code == 200, answer.text
    assert [row["id"] for row in answer.json["data"]] == [wanted]


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize("value", ["", "+", "%20", "%2B%2B1202", "+04912025550123", "%2B", "()"])
def test_a_number_filter_that_names_nobody_is_an_error(api: Api, name, value):
    answer = api.call("GET", f"/messages?{name}={value}")
    assert answer.status_code == 422, answer.text
    assert list(answer.json["details"]) == [name]
    assert "%2B" in answer.json["message"]


def test_a_sender_with_a_name_is_found(api: Api):
    api.receive("1", sender="Info SMS")
    api.receive("2", sender="12025550123")
    api.receive("3", sender="+12025550123")
    for query in ("from=Info+SMS", "from=Info%20SMS", "from=+Info+SMS"):
        (found,) = api.call("GET", f"/messages?{query}").json["data"]
        assert found["from"] == "Info SMS"
    (found,) = api.call("GET", "/messages?from=+12025550123").json["data"]
    assert found["from"] == "+12025550123"


@pytest.mark.parametrize("zone", ["+02:00", "%2B02:00", "%2002:00", "-02:00", "Z"])
@pytest.mark.parametrize("fraction", ["", ".5"])
@pytest.mark.parametrize("path", ["/messages?since=", "/messages?until=", "/stats?since="])
def test_a_time_with_any_zone_is_understood_in_a_url(api: Api, path, zone, fraction):
    moment = f"2026-01-01T00:00:00{fraction}"
    answer = api.call("GET", f"{path}{moment}{zone}")
    assert answer.status_code == 200, answer.text
    if path.startswith("/stats"):
        hour = {"-": "2026-01-01T02", "Z": "2026-01-01T00"}.get(zone[0], "2025-12-31T22")
        assert answer.json["since"].startswith(hour)


@pytest.mark.parametrize(
    "moment", ["2026-01-01 02:00", "2026-01-01T00:00:00 2:00", "2026-01-01T00:00:00"]
)
def test_a_time_without_a_zone_stays_an_error_in_a_url(api: Api, moment):
    assert api.get("/messages", since=moment).status_code == 422
