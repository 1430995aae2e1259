"""The device's side of `/ws`: what it may say, what it is told, and when it has to go."""

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import registry
from smsgw.core.messages import held
from smsgw.live.conversation import Drop
from smsgw.live.device_socket import find_ready
from smsgw.store.models import Device, Message, QuarantinedItem
from smsgw.websocket_api import device_socket as device_side
from tests.void_logins import LOSSES

from .conftest import INCOMING, RECEIPT, Stage, frames_of, said, say


def inbox(stage: Stage) -> list[Message]:
    with stage.world.database.reading() as session:
        statement = sa.select(Message).where(Message.direction == "inbound").order_by(Message.id)
        return list(session.scalars(statement))


def error_of(answer: list) -> str:
    (frame,) = answer
    assert frame["event"] == "error"
    assert frame["data"]["message"]
    return frame["data"]["code"]


def order(phone: device_side.DeviceConversation) -> dict:
    ((event, data),) = frames_of(phone.work())
    assert event == "sendMessage"
    return data


def test_an_envelope_gets_its_id_back(stage: Stage):
    phone = stage.device()
    phone.opened()
    (ack,) = say(phone, {"event": "messageReceived", "data": INCOMING, "id": 7})
    assert (ack["event"], ack["id"]) == ("ack", 7)
    (error,) = say(phone, {"event": "messageReceived", "data": {"deviceId": "other"}, "id": "x"})
    assert (error["event"], error["id"]) == ("error", "x")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "invalid_json"),
        ("", "invalid_json"),
        (b"", "invalid_json"),
        (b'{"sender": "gr\xfc\xdfe"}', "invalid_json"),
        (b"\x00\x01\x02", "invalid_json"),
        (json.dumps(INCOMING).encode("utf-16"), "invalid_json"),
        (b"7", "invalid_json"),
        ("[]", "invalid_json"),
        ('{"event": "messageReceived", "data": {}, "id": NaN}', "invalid_payload"),
        ('{"event": "messageReceived", "data": {}, "id": [-1e999]}', "invalid_payload"),
        ("[" * 5000, "invalid_json"),
        ("{}", "unknown_event"),
        ({"event": "dance", "data": {}}, "unknown_event"),
        ({"event": 1, "data": {}}, "unknown_event"),
        ({"event": "messageStatus"}, "invalid_payload"),
        ({**INCOMING, "deviceId": "other"}, "forbidden"),
        ({"receiver": "+12025550123", "content": "x", "deviceId": "12345"}, "forbidden"),
        ({**INCOMING, "messageId": ""}, "invalid_payload"),
        ({**INCOMING, "messageId": None}, "invalid_payload"),
        ({**INCOMING, "messageId": ["m"]}, "invalid_payload"),
        ({**INCOMING, "content": ["Hello"]}, "invalid_payload"),
        ({**INCOMING, "content": True}, "invalid_payload"),
        ({"messageId": "m", "status": "LOST"}, "invalid_payload"),
        ({"messageId": "m", "status": 1}, "invalid_payload"),
    ],
)
def test_what_cannot_be_done_is_an_error_frame_and_nothing_is_kept(stage: Stage, frame, code):
    phone = stage.device()
    phone.opened()
    assert error_of(say(phone, frame)) == code
    assert inbox(stage) == []
    assert len(say(phone, INCOMING)) == 1, "the socket goes on"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"sender": ""}, {"from_number": ""}),
        ({"sender": None}, {"from_number": ""}),
        ({"sender": 22922}, {"from_number": "22922"}),
        ({"content": None}, {"content": ""}),
        ({"content": 4711}, {"content": "4711"}),
        ({"timestamp": 1734350400}, {"device_received_at": datetime(2024, 12, 16, 12, tzinfo=UTC)}),
        (
            {"timestamp": "1734350400000"},
            {"device_received_at": datetime(2024, 12, 16, 12, tzinfo=UTC)},
        ),
        ({"timestamp": ["now"]}, {}),
        ({"timestamp": 10**400}, {}),
        ({"timestamp": float("nan"), "battery": float("-inf")}, {}),
        ({"deviceId": 12345}, {}),
    ],
)
def test_an_sms_with_odd_fields_is_kept_once(stage: Stage, change, kept):
    phone = stage.device()
    phone.opened()
    frame = {"event": "messageReceived", "data": {**INCOMING, **change}}
    for _ in range(2):
        assert [one["event"] for one in say(phone, frame)] == ["ack"]
    (message,) = inbox(stage)
    assert {name: getattr(message, name) for name in kept} == kept


def test_an_id_that_is_a_number_is_that_id(stage: Stage):
    phone = stage.device()
    phone.opened()
    (ack,) = say(phone, {**INCOMING, "messageId": 7})
    assert ack["data"]["messageId"] == 7
    say(phone, {**INCOMING, "messageId": "7"})
    assert len(inbox(stage)) == 1


def test_an_sms_without_an_id_is_kept_for_the_operator(stage: Stage):
    phone = stage.device()
    phone.opened()
    assert error_of(say(phone, {**INCOMING, "messageId": None})) == "invalid_payload"
    with stage.world.database.reading() as session:
        (item,) = session.scalars(sa.select(QuarantinedItem))
    assert "Hello" in item.raw


def test_an_sms_that_cannot_be_read_is_kept_for_the_operator(stage: Stage):
    phone = stage.device()
    phone.opened()
    say(phone, {**INCOMING, "content": ["Hello"]})
    with stage.world.database.reading() as session:
        (item,) = session.scalars(sa.select(QuarantinedItem))
    assert item.device_id == "12345"
    assert "msg123" in item.raw


def test_a_repeat_is_acknowledged_and_not_forwarded(stage: Stage):
    phone, program = stage.device(), stage.crm()
    phone.opened()
    first, second = say(phone, INCOMING), say(phone, {**INCOMING, "content": "other"})
    assert first == second
    assert [message.content for message in inbox(stage)] == ["Hello!"]
    assert [event for event, _ in frames_of(program.opened())] == ["messageReceived"]


def test_two_devices_may_use_the_same_message_id(stage: Stage):
    with stage.world.database.transaction() as session:
        _, token = enrolment.add_with_key(session, "other", None, None, clock.now())
    for phone in (stage.device(), stage.device(token)):
        phone.opened()
        say(phone, {**INCOMING, "deviceId": phone.key})
    assert [message.device_id for message in inbox(stage)] == ["12345", "other"]


def test_a_sender_may_be_a_name_and_a_missing_time_is_ours(stage: Stage):
    phone, program = stage.device(), stage.crm()
    phone.opened()
    say(phone, {"messageId": "m1", "sender": "MPESA", "content": "ok\0", "deviceId": "12345"})
    ((_, data),) = frames_of(program.opened())
    assert (data["sender"], data["content"]) == ("MPESA", "ok\ufffd")
    assert data["timestamp"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["sent"], "sent"),
        (["SENT", "DELIVERED"], "delivered"),
        (["DELIVERED", "SENT"], "delivered"),
        (["Error"], "failed"),
        (["SENT", "FAILED"], "failed"),
        (["DELIVERED", "FAILED"], "delivered"),
        (["QUEUED"], "accepted"),
    ],
)
def test_a_status_never_goes_back(stage: Stage, words, status):
    phone = stage.device()
    phone.opened()
    message_id = stage.queue()
    dispatch_id = order(phone)["messageId"]
    for word in words:
        (ack,) = say(phone, {"messageId": dispatch_id, "status": word, "error": "no signal"})
        assert ack["event"] == "ack"
    with stage.world.database.reading() as session:
        assert session.get_one(Message, message_id).status == status


def test_what_waited_while_it_was_away_comes_in_order_and_once(stage: Stage):
    for content in ("one", "two", "three"):
        stage.queue(content)
    phone = stage.device()
    assert [data["content"] for _, data in frames_of(phone.opened())] == ["one", "two", "three"]
    assert phone.work() == []
    assert find_ready(stage.world.database, [phone]) == []


def test_what_was_never_acknowledged_is_not_handed_out_again_and_fails_after_five_minutes(
    stage: Stage,
):
    phone = stage.device()
    phone.opened()
    message_id = stage.queue()
    order(phone)
    phone.closed()
    again = stage.device()
    assert again.opened() == []
    stage.pass_time(minutes=5)
    assert find_ready(stage.world.database, [again]) == []
    assert again.work() == []
    stage.run_housekeeping()
    with stage.world.database.reading() as session:
        assert session.get_one(Message, message_id).reason_class == "unconfirmed"


def test_the_newest_socket_is_the_devices_only_one(stage: Stage):
    old, new = stage.device(), stage.device()
    old.opened(), new.opened()
    stage.queue()
    assert said(old.work()) == [4002]
    assert device_side._inspect(stage.world.database, [old, new]) == [old]
    assert order(new)["content"] == "hello"
    old.closed()
    with stage.world.database.reading() as session:
        assert session.get_one(Device, "12345").socket_id is not None


def test_an_older_socket_comes_back_when_the_newer_one_has_gone_again(stage: Stage):
    old, new = stage.device(), stage.device()
    old.opened(), new.opened()
    new.closed()
    assert device_side._inspect(stage.world.database, [old]) == [old]
    assert old.work() == [Drop()]


def test_a_socket_with_a_void_token_is_closed(stage: Stage):
    phone, late = stage.device(), stage.device()
    phone.opened()
    stage.call("POST", "/registerDevice", {"deviceId": "12345"}, stage.operator_key)
    assert device_side._inspect(stage.world.database, [phone]) == [phone]
    assert said(phone.work()) == [4001]
    assert said(late.opened()) == [4001]


def test_a_flapping_line_is_not_told_and_one_that_stays_away_is(stage: Stage):
    program = stage.crm()
    program.opened()
    phone = stage.device()
    phone.opened()
    stage.run_housekeeping()
    stage.pass_time(seconds=60)
    phone.closed()
    stage.pass_time(seconds=4)
    stage.run_housekeeping()
    phone = stage.device()
    phone.opened()
    stage.pass_time(seconds=4)
    stage.run_housekeeping()
    moments = [(event, data["timestamp"]) for event, data in frames_of(program.work())]
    assert moments == [("deviceConnected", "2026-03-01T12:00:00Z")]
    phone.closed()
    stage.pass_time(seconds=5)
    stage.run_housekeeping()
    assert frames_of(program.work()) == [
        ("deviceDisconnected", {"deviceId": "12345", "timestamp": "2026-03-01T12:01:13Z"})
    ]


def test_a_device_whose_process_died_goes_offline_without_a_goodbye(stage: Stage):
    program, phone = stage.crm(), stage.device()
    phone.opened()
    stage.run_housekeeping()
    stage.pass_time(seconds=89)
    stage.run_housekeeping()
    stage.pass_time(seconds=2)
    stage.run_housekeeping()
    assert [event for event, _ in frames_of(program.opened())] == [
        "deviceConnected",
        "deviceDisconnected",
    ]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("is_binary", [False, True])
def test_a_frame_is_taken_as_text_or_binary_with_and_without_a_byte_order_mark(
    stage: Stage, mark, is_binary
):
    phone = stage.device()
    phone.opened()
    frame = mark + json.dumps(INCOMING, ensure_ascii=False)
    (ack,) = said(phone.received(frame.encode() if is_binary else frame))
    assert ack["event"] == "ack"
    assert [entry.content for entry in inbox(stage)] == [INCOMING["content"]]


def test_the_error_says_where_a_frame_stops_being_json(stage: Stage):
    phone = stage.device()
    phone.opened()
    (error,) = said(phone.received(b'{"sender": +1}'))
    assert error["data"] == {
        "code": "invalid_json",
        "message": "invalid JSON at line 1 column 12: expecting value",
    }


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("body", [INCOMING, {**INCOMING, "content": []}, RECEIPT])
def test_a_socket_whose_token_is_void_is_closed_by_what_it_says_and_nothing_is_taken(
    stage, loss, body
):
    socket = stage.device()
    socket.opened()
    with stage.world.database.transaction() as session:
        loss(session, registry.get(session, "12345"))
    assert say(socket, body) == [4001]
    with stage.world.database.reading() as session:
        assert session.query(Message).count() == session.query(QuarantinedItem).count() == 0


def test_no_device_gets_what_is_held_since_a_restore_until_it_is_released(stage: Stage):
    message_id = stage.queue()
    with stage.world.database.transaction() as session:
        assert held.hold_all(session, clock.now()) == 1
    phone = stage.device()
    assert said(phone.opened()) == []
    assert phone.work() == []
    answer = stage.call("GET", f"/api/v1/messages/{message_id}", key=stage.crm_key)
    assert answer.json["waiting_for"]["hop"] == "held"
    with stage.world.database.transaction() as session:
        assert held.release(session, clock.now()) == 1
    ((event, data),) = frames_of(phone.work())
    assert (event, data["content"]) == ("sendMessage", "hello")
