"""The CRM's side of `/ws`: sending, and being told what its webhooks are told, nothing missed between two sockets."""

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.core.accounts.rate_limits import Limit
from smsgw.core.events import feed, recording
from smsgw.store.models import Delivery, Event
from smsgw.websocket_api import crm_socket as crm_side

from .conftest import INCOMING, OUTGOING, Stage, frames_of, said, say


def error_of(answer: list) -> str:
    (frame,) = answer
    assert frame["event"] == "error"
    return frame["data"]["code"]


def receive(stage: Stage, *ids: str) -> None:
    phone = stage.device()
    phone.opened()
    for message_id in ids:
        say(phone, {**INCOMING, "messageId": message_id})


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"apiKey": "crm_live_wrong"}, "forbidden"),
        ({"apiKey": 5}, "forbidden"),
        ({"deviceId": "nobody"}, "unknown_device"),
        ({"deviceId": "\0"}, "unknown_device"),
        ({"deviceId": "phone-1"}, "forbidden"),
        ({"deviceId": None}, "invalid_payload"),
        ({"receiver": "hello"}, "invalid_payload"),
        ({"receiver": "+11234567890.0"}, "invalid_payload"),
        ({"receiver": 11234567890}, "invalid_payload"),
        ({"content": ""}, "invalid_payload"),
        ({"content": "x" * 1601}, "invalid_payload"),
    ],
)
def test_what_cannot_be_sent_is_an_error_frame(stage: Stage, changed, code):
    program = stage.crm()
    program.opened()
    body = {**OUTGOING, "apiKey": stage.crm_key, **changed}
    assert error_of(say(program, body)) == code
    assert stage.device().opened() == []


def test_a_receiver_that_opted_out_or_had_the_text_too_often_is_an_error_frame(stage: Stage):
    program = stage.crm()
    program.opened()
    draft = {**OUTGOING, "apiKey": stage.crm_key}
    with stage.world.database.transaction() as session:
        crms.get(session, stage.crm_id).loop_guard = 5
    for _ in range(5):
        assert say(program, draft)[0]["event"] == "messageStatus"
    assert error_of(say(program, draft)) == "loop_guard"
    say(stage.device(), {**INCOMING, "sender": OUTGOING["receiver"], "content": "stop"})
    assert error_of(say(program, draft)) == "opted_out"
    failed = [data for event, data in frames_of(program.work()) if data.get("status") == "FAILED"]
    assert {data["error"] for data in failed} == {"opted_out"}


@pytest.mark.parametrize("event", ["messageReceived", "messageStatus"])
def test_a_crm_may_not_speak_for_a_device(stage: Stage, event):
    program = stage.crm()
    program.opened()
    assert error_of(say(program, {"event": event, "data": INCOMING})) == "forbidden"


def test_the_key_need_not_be_repeated_and_an_envelope_gets_its_id_back(stage: Stage):
    program = stage.crm()
    program.opened()
    data = {name: value for name, value in OUTGOING.items() if name != "apiKey"}
    (queued,) = say(program, {"event": "sendMessage", "data": data, "id": "n1"})
    assert (queued["id"], queued["data"]["status"]) == ("n1", "QUEUED")


def test_too_many_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crm_side, "SENDS", Limit("socket sends", 2, 60))
    program = stage.crm()
    program.opened()
    body = {**OUTGOING, "apiKey": stage.crm_key}
    codes = [say(program, body)[0]["data"].get("code") for _ in range(3)]
    assert codes == [None, None, "rate_limited"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"queue_limit": 1}, "queue_full"), ({"requests_per_minute": 1}, "rate_limited")],
)
def test_the_limits_of_its_crm_hold_for_a_socket(stage: Stage, changes, code: str):
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.crm_id)
        for name, value in changes.items():
            setattr(crm, name, value)
    program = stage.crm()
    program.opened()
    body = {**OUTGOING, "apiKey": stage.crm_key}
    codes = [say(program, body)[0]["data"].get("code") for _ in range(3)]
    assert codes == [None, code, code]


def test_nothing_is_missed_between_two_sockets(stage: Stage):
    receive(stage, "m1")
    program = stage.crm()
    (first,) = said(program.opened())
    receive(stage, "m2", "m3")
    again = stage.crm(after=first["eventId"])
    assert [data["messageId"] for _, data in frames_of(again.opened())] == ["m2", "m3"]
    assert again.work() == []


def test_a_long_absence_is_told_in_pieces_with_none_left_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(crm_side, "MOST_EVENTS", 3)
    ids = [f"m{number}" for number in range(8)]
    receive(stage, *ids)
    program = stage.crm()
    received = frames_of(program.opened())
    while crm_side._find_ready(stage.world.database, [program]):
        received += frames_of(program.work())
    assert [data["messageId"] for _, data in received] == ids


def test_only_who_has_something_to_hear_is_asked_to_work(stage: Stage):
    program = stage.crm()
    program.opened()
    assert crm_side._find_ready(stage.world.database, [program]) == []
    receive(stage, "m1")
    assert crm_side._find_ready(stage.world.database, [program]) == [program]
    program.work()
    assert crm_side._find_ready(stage.world.database, [program]) == []


def test_an_error_names_the_field_as_this_door_does(stage: Stage):
    program = stage.crm()
    program.opened()
    (error,) = say(program, {**OUTGOING, "receiver": "hello", "apiKey": stage.crm_key})
    assert error["data"]["message"].startswith("receiver: ")


def test_a_phone_that_says_no_more_of_an_sms_is_told_once(stage: Stage):
    program, phone = stage.crm(), stage.device()
    program.opened(), phone.opened()
    message_id = stage.queue()
    ((_, order),) = frames_of(phone.work())
    say(phone, {"messageId": order["messageId"], "status": "QUEUED"})
    assert program.work() == []
    stage.pass_time(hours=15)
    stage.run_housekeeping()
    said_of_it = [data for event, data in frames_of(program.work()) if event == "messageStatus"]
    assert [(data["messageId"], data["status"]) for data in said_of_it] == [(message_id, "QUEUED")]
    assert said_of_it[0]["error"].startswith("stuck: ")
    shown = stage.call("GET", f"/messages/{message_id}", key=stage.crm_key).json
    assert shown["error"] == said_of_it[0]["error"]


def test_events_these_clients_have_no_word_for_do_not_keep_them_busy(stage: Stage):
    program, phone = stage.crm(), stage.device()
    program.opened(), phone.opened()
    stage.queue()
    phone.work()
    assert program.work() == []
    assert crm_side._find_ready(stage.world.database, [program]) == []


def test_it_is_told_which_of_its_devices_are_online_when_it_connects(stage: Stage):
    phone = stage.device()
    phone.opened()
    stage.run_housekeeping()
    program = stage.crm()
    online, *_ = frames_of(program.opened())
    assert online == ("deviceConnected", {"deviceId": "12345", "timestamp": "2026-03-01T12:00:00Z"})
    with stage.world.database.transaction() as session:
        crm, key = crms.add(session, "other", [], clock.now())
    other = crm_side.CrmConversation(stage.world.settings, stage.world.database, crm.id, key, None)
    assert other.opened() == []


def test_many_devices_online_are_told_in_pieces(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crm_side, "MOST_EVENTS", 2)
    with stage.world.database.transaction() as session:
        for number in range(5):
            device, _ = enrolment.add_with_key(session, f"d{number}", None, None, clock.now())
            device.is_online = True
        crms.route(
            session,
            crms.get(session, stage.crm_id),
            [f"d{number}" for number in range(5)],
            clock.now(),
        )
    program = stage.crm()
    received = frames_of(program.opened())
    while crm_side._find_ready(stage.world.database, [program]):
        received += frames_of(program.work())
    assert [data["deviceId"] for _, data in received] == [f"d{number}" for number in range(5)]


def test_every_crm_of_a_device_hears_of_an_sms_but_only_the_sender_of_its_status(stage: Stage):
    with stage.world.database.transaction() as session:
        crm, key = crms.add(session, "other", ["12345"], clock.now())
    other = crm_side.CrmConversation(stage.world.settings, stage.world.database, crm.id, key, None)
    program, phone = stage.crm(), stage.device()
    phone.opened()
    stage.queue()
    ((_, order),) = frames_of(phone.work())
    say(phone, {"messageId": order["messageId"], "status": "SENT"})
    say(phone, INCOMING)
    assert [event for event, _ in frames_of(program.opened())] == [
        "messageStatus",
        "messageReceived",
    ]
    assert [event for event, _ in frames_of(other.opened())] == ["messageReceived"]


@pytest.mark.parametrize(("word", "text"), [("FAILED", "no signal"), ("ERROR", "failed")])
def test_a_failure_says_why(stage: Stage, word, text):
    program, phone = stage.crm(), stage.device()
    phone.opened()
    message_id = stage.queue()
    ((_, order),) = frames_of(phone.work())
    report = {"messageId": order["messageId"], "status": word}
    say(phone, {**report, "error": text} if text != "failed" else report)
    ((_, data),) = frames_of(program.opened())
    assert (data["status"], data["error"], data["messageId"]) == ("FAILED", text, message_id)


def test_a_message_whose_time_has_passed_has_failed_as_expired(stage: Stage):
    program = stage.crm()
    message_id = stage.queue()
    stage.pass_time(hours=49)
    stage.run_housekeeping()
    ((_, data),) = frames_of(program.opened())
    assert data["messageId"] == message_id
    assert (data["status"], data["error"]) == ("FAILED", "expired")


@pytest.mark.parametrize("act", ["rotate", "disable", "remove"])
def test_a_socket_with_a_void_key_is_closed(stage: Stage, act):
    program = stage.crm()
    program.opened()
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.crm_id)
        if act == "rotate":
            crms.rotate(crm)
        elif act == "disable":
            crm.enabled = False
        else:
            crms.remove(session, crm, clock.now())
    assert crm_side._inspect(stage.world.database, [program]) == [program]
    assert said(program.work()) == [4001]
    assert said(program.received('{"receiver":"+12025550123","content":"x","deviceId":"1"}')) == [
        4001
    ]


def test_an_event_that_becomes_visible_late_is_not_passed_over(stage: Stage):
    if stage.world.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    program, phone = stage.crm(), stage.device()
    program.opened(), phone.opened()
    with stage.world.database.transaction() as session:
        happening = recording.NewEvent("device.online", stage.crm_id, {}, "slow")
        (slow,) = recording.record(session, [happening], clock.now())
        say(phone, INCOMING)
        assert program.work() == [], "what comes before may still become visible"
    first, second = said(program.work())
    assert (first["eventId"], second["event"]) == (slow, "messageReceived")
    assert crm_side._find_ready(stage.world.database, [program]) == []


def test_a_socket_that_begins_while_an_event_is_being_written_hears_of_it(stage: Stage):
    if stage.world.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    with stage.world.database.transaction() as session:
        happening = recording.NewEvent("device.online", stage.crm_id, {}, "slow")
        (slow,) = recording.record(session, [happening], clock.now())
        receive(stage, "m1")
        with stage.world.database.reading() as reading:
            position = feed.last_shown(reading, stage.crm_id)
        program = stage.crm(after=position)
        assert program.opened() == []
    first, *_ = said(program.work())
    assert first["eventId"] == slow


def test_a_socket_outlives_the_removal_of_old_events(stage: Stage):
    receive(stage, "m1")
    program = stage.crm()
    program.opened()
    with stage.world.database.transaction() as session:
        session.execute(sa.delete(Delivery))
        session.execute(sa.delete(Event))
    assert crm_side._find_ready(stage.world.database, [program]) == []
    with stage.world.database.reading() as session:
        again = stage.crm(after=program.position)
        feed.page(session, stage.crm_id, again.position, 1)  # what the door asks
    for one in (program, again):
        assert one.work() == []
    receive(stage, "m2")
    for one in (program, again):
        assert [data["messageId"] for _, data in frames_of(one.work())] == ["m2"]
