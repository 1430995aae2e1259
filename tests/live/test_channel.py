"""The conversation on `/cable`, frame by frame, without a socket: the protocol's table and what follows from it."""

import codecs
import json
from datetime import timedelta

import pytest

from smsgw import clock, ids
from smsgw.core.accounts import enrolment
from smsgw.core.devices import protocols, registry, sockets
from smsgw.core.messages import handing_out, held
from smsgw.live.conversation import Close, Drop
from tests.void_logins import LOSSES

from ..conftest import NOW
from .conftest import IDENTIFIER, command, perform, said, sent

OTHER = '{"channel": "GatewayChannel", "sim":  2, "<é>": "&"}'
REMOTE = [{"type": "disconnect", "reason": "remote", "reconnect": False}, Close(1000)]


def _fail(*_: object) -> None:
    raise OSError("no disk")


def test_subscribing_twice_is_confirmed_once(cable):
    assert command(cable.subscribed(), "subscribe") == []


@pytest.mark.parametrize("identifier", [OTHER, '{"channel":"GatewayChannel","\\ud800":1}'])
def test_the_identifier_comes_back_exactly_as_it_was_sent(cable, identifier):
    (confirmed,) = said(command(cable.conversation(), "subscribe", identifier))
    assert confirmed == {"identifier": identifier, "type": "confirm_subscription"}


@pytest.mark.parametrize("identifier", ['{"channel":"ChatChannel"}', "{}", '{"channel":["x"]}'])
def test_an_unknown_channel_is_rejected(cable, identifier):
    talk = cable.conversation()
    (rejected,) = said(command(talk, "subscribe", identifier))
    assert rejected == {"identifier": identifier, "type": "reject_subscription"}
    assert not talk.is_subscribed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"text"',
        "7",
        "null",
        "[" * 60_000,
        "{}",
        '{"command":"subscribe"}',
        '{"command":"subscribe","identifier":{"channel":"GatewayChannel"}}',
        '{"command":"subscribe","identifier":"GatewayChannel"}',
        '{"command":"subscribe","identifier":"[]"}',
        '{"command":"subscribe","identifier":"{\\"channel\\":\\"GatewayChannel\\"'
        + " " * 1024
        + '}"}',
        '{"command":"whatever","identifier":"{\\"channel\\":\\"GatewayChannel\\"}"}',
        '{"command":["subscribe"],"identifier":"{\\"channel\\":\\"GatewayChannel\\"}"}',
    ],
)
def test_what_is_malformed_is_passed_over_in_silence(cable, text):
    talk = cable.conversation()
    assert talk.received(text) == []
    assert not talk.is_subscribed


@pytest.mark.parametrize(
    "data",
    [
        None,
        "",
        "{",
        "[]",
        "7",
        7,
        ["heartbeat"],
        "{}",
        '{"action":"subscribed"}',
        '{"action":"stream_from"}',
        '{"action":"_heartbeat"}',
        '{"action":["heartbeat"]}',
    ],
)
def test_data_without_an_action_of_ours_is_passed_over_in_silence(cable, data):
    assert command(cable.subscribed(), "message", data=data) == []


def test_a_message_without_a_subscription_is_passed_over(cable):
    talk = cable.conversation()
    data = json.dumps({"action": "sms_received", "phone_number": "1", "message_body": "x"})
    assert command(talk, "message", data=data) == []
    assert command(cable.subscribed(), "message", OTHER, data=data) == []
    assert cable.inbox() == []


def test_unsubscribing_is_silent_and_ends_the_messages(cable):
    talk = cable.subscribed()
    assert command(talk, "unsubscribe") == []
    assert command(talk, "unsubscribe") == []
    cable.queue()
    assert cable.waiting(talk) == []
    assert talk.work() == []


def test_one_socket_cannot_subscribe_without_end(cable):
    talk = cable.conversation()
    answers = [
        said(command(talk, "subscribe", json.dumps({"channel": "GatewayChannel", "n": number})))
        for number in range(20)
    ]
    types = [answer[0]["type"] for answer in answers]
    assert types == ["confirm_subscription"] * 16 + ["reject_subscription"] * 4


def test_subscribing_brings_the_queue_at_once_and_marks_the_device_online(cable):
    cable.queue(2, content="hällo")
    talk = cable.conversation()
    answer = command(talk, "subscribe")
    assert said(answer)[0]["type"] == "confirm_subscription"
    first, second = sent(answer)
    assert first["message_body"] == "hällo"
    assert first["phone_number"] == "+12025550123"
    assert first["priority"] == "normal"
    assert first["message_id"] != second["message_id"]
    device = cable.device()
    assert registry.is_online(device, clock.now(), 300)
    assert device.protocol == "mysmsapio"


def test_a_frame_to_the_app_has_the_identifier_and_no_type(cable):
    talk = cable.conversation()
    command(talk, "subscribe", OTHER)
    cable.queue()
    (frame,) = said(talk.work())
    assert frame["identifier"] == OTHER
    assert set(frame) == {"identifier", "message"}
    assert frame["message"]["action"] == "send_sms"


def test_the_app_sees_the_dispatch_as_its_message_id(cable):
    (message_id,) = cable.queue()
    (payload,) = sent(command(cable.conversation(), "subscribe"))
    dispatch = cable.dispatch(payload["message_id"])
    assert dispatch.message_id == message_id
    assert dispatch.protocol == "mysmsapio"
    assert payload["message_id"] == f"msg_{dispatch.id.replace('-', '')}"


@pytest.mark.parametrize(
    ("level", "word"), [(0, "normal"), (4, "normal"), (5, "high"), (9, "high")]
)
def test_priority_is_high_or_normal(cable, level, word):
    cable.queue(priority=level)
    (payload,) = sent(command(cable.conversation(), "subscribe"))
    assert payload["priority"] == word


def test_an_sms_goes_out_once_however_often_the_app_subscribed(cable):
    talk = cable.subscribed()
    command(talk, "subscribe", OTHER)
    cable.queue()
    assert len(sent(talk.work())) == 1
    assert talk.work() == []


def test_the_window_holds_for_sockets_too(cable):
    talk = cable.subscribed()
    cable.queue(30)
    first = sent(talk.work())
    assert len(first) == cable.world.settings.in_flight_per_device
    assert talk.work() == []
    assert cable.waiting(talk) == []  # it rests
    perform(talk, "delivery_status", message_id=first[0]["message_id"], status="sent")
    assert cable.waiting(talk) == [talk]
    assert len(sent(talk.work())) == 1


def test_no_socket_gets_what_is_held_since_a_restore_until_it_is_released(cable):
    talk = cable.subscribed()
    ids = [*cable.queue(), *cable.queue(device_id=None)]
    with cable.world.database.transaction() as session:
        assert held.hold_all(session, clock.now()) == 2
    assert cable.waiting(talk) == []
    assert talk.work() == []
    again = cable.subscribed()
    assert again.work() == []
    for one in ids:
        answer = cable.world.client.get(f"/api/v1/messages/{one}", headers=cable.world.as_crm())
        assert answer.json["waiting_for"]["hop"] == "held"
    with cable.world.database.transaction() as session:
        assert held.release(session, clock.now()) == 2
    assert cable.waiting(again) == [again]
    assert len(sent(again.work())) == 2


def test_a_message_for_any_device_reaches_one_socket(cable):
    talk = cable.subscribed()
    cable.queue(device_id=None)
    assert cable.waiting(talk) == [talk]
    assert len(sent(talk.work())) == 1
    assert cable.waiting(talk) == []


def test_a_message_for_any_device_asks_only_those_the_crm_may_use(cable):
    other_id, _ = cable.world.add_crm("other", ["phone-1"])
    talk = cable.subscribed()
    cable.queue(device_id=None, crm=other_id)
    assert cable.waiting(talk) == []


def test_nobody_is_asked_for_what_is_not_due_or_has_expired(cable):
    talk = cable.subscribed()
    cable.queue(send_at=NOW + timedelta(hours=1))
    cable.queue(ttl_seconds=60)
    cable.pass_time(minutes=2)
    assert cable.waiting(talk) == []
    cable.pass_time(minutes=60)
    assert cable.waiting(talk) == [talk]


def test_only_devices_with_messages_are_asked(cable):
    cable.world.add_device("phone-2")
    talk = cable.subscribed()
    cable.queue(device_id="phone-2")
    assert cable.waiting(talk) == []
    cable.queue()
    assert cable.waiting(talk) == [talk]


def test_the_newest_socket_alone_gets_messages(cable):
    old, new = cable.subscribed(), cable.subscribed()
    cable.queue()
    assert said(old.work()) == REMOTE
    assert len(sent(new.work())) == 1


def test_an_old_socket_that_closes_does_not_take_the_place_of_the_new_one(cable):
    old, new = cable.subscribed(), cable.subscribed()
    old.closed()
    cable.queue()
    assert len(sent(new.work())) == 1
    new.closed()
    assert cable.device().socket_id is None


def test_an_older_socket_comes_back_when_the_newer_one_has_gone_again(cable):
    old, new = cable.subscribed(), cable.subscribed()
    command(new, "unsubscribe")
    assert cable.inspected(old) == [old]
    assert old.work() == [Drop()]


def test_a_socket_whose_subscription_could_not_be_ended_gives_its_place_back_when_it_closes(
    cable, monkeypatch
):
    talk = cable.subscribed()
    with monkeypatch.context() as broken:
        broken.setattr(sockets, "release", _fail)
        with pytest.raises(OSError, match="no disk"):
            command(talk, "unsubscribe")
    talk.closed()
    assert cable.device().socket_id is None


def test_a_replaced_socket_is_found_by_the_inspection(cable):
    old, new = cable.subscribed(), cable.subscribed()
    assert cable.inspected(old, new) == [old]


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"removed_at": NOW, "enabled": False},
        {"secret_hash": ids.hash_secret("another")},
    ],
)
def test_a_void_key_ends_the_socket_and_gets_no_message(cable, change):
    talk = cable.subscribed()
    cable.queue()
    cable.change(**change)
    assert cable.inspected(talk) == [talk]
    assert said(talk.work()) == REMOTE


def test_a_void_key_cannot_subscribe(cable):
    valid, talk = cable.subscribed(), cable.conversation()
    cable.change(enabled=False)
    assert said(command(talk, "subscribe")) == REMOTE
    cable.change(enabled=True)
    assert valid.work() == []


def test_the_farewell_asks_the_client_to_come_back(cable):
    (frame,) = said(cable.subscribed().last_messages())
    assert frame == {"type": "disconnect", "reason": "server_restart", "reconnect": True}


@pytest.mark.parametrize("shape", ["payload", "flat", "object"])
def test_an_sms_is_taken_in_every_shape_that_is_documented(cable, shape):
    sms = {
        "phone_number": "+959123456789",
        "message_body": "Hello",
        "received_at": "2025-10-20T13:45:30Z",
    }
    data = {
        "payload": json.dumps({"action": "sms_received", "payload": sms}),
        "flat": json.dumps({"action": "sms_received", **sms}),
        "object": {"action": "sms_received", "payload": sms},
    }[shape]
    (ack,) = said(command(cable.subscribed(), "message", data=data))
    (message,) = cable.inbox()
    assert ack == {
        "identifier": IDENTIFIER,
        "message": {"action": "sms_received_ack", "payload": {"message_id": message.id}},
    }
    assert message.content == "Hello"
    assert message.from_number == "+959123456789"
    assert clock.rfc3339(message.device_received_at) == "2025-10-20T13:45:30.000Z"


def test_an_sms_in_a_binary_frame_is_taken(cable):
    talk = cable.subscribed()
    sms = {"action": "sms_received", "phone_number": "1", "message_body": "ü"}
    frame = {"command": "message", "identifier": IDENTIFIER, "data": json.dumps(sms)}
    (ack,) = said(talk.received(codecs.BOM_UTF8 + json.dumps(frame, ensure_ascii=False).encode()))
    assert ack["message"]["action"] == "sms_received_ack"
    assert [message.content for message in cable.inbox()] == ["ü"]


def test_the_log_says_of_a_frame_that_is_no_json_what_is_wrong_with_it(cable, caplog):
    talk = cable.subscribed()
    assert talk.received(b'{"command": \xff}') == []
    assert talk.received("{") == []
    assert "device gateway-1: invalid JSON at line 1 column 13: the byte 0xff" in caplog.text
    assert "device gateway-1: invalid JSON at line 1 column 2: expecting" in caplog.text


def test_an_sms_that_comes_by_both_ways_is_one(cable):
    sms = {"phone_number": "1", "message_body": "x", "received_at": "2025-10-20T13:45:30Z"}
    (ack,) = said(perform(cable.subscribed(), "sms_received", **sms))
    answer = cable.post("/api/v1/gateway/sms/received", sms)
    assert answer.status_code == 201
    assert answer.json["message_id"] == ack["message"]["payload"]["message_id"]
    assert len(cable.inbox()) == 1


def test_an_sms_that_cannot_be_read_is_put_aside(cable):
    unreadable = {"phone_number": "1", "message_body": ["hi"]}
    assert perform(cable.subscribed(), "sms_received", **unreadable) == []
    assert cable.inbox() == []
    (item,) = cable.quarantined()
    assert item.device_id == "gateway-1"
    assert "message_body" in item.reason


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["sent"], "sent"),
        (["sent", "delivered"], "delivered"),
        (["delivered", "sent"], "delivered"),
        (["failed"], "failed"),
        (["error"], "failed"),
        (["sent", "error"], "failed"),
        (["failed", "sent"], "failed"),
        (["delivered", "failed"], "delivered"),
        (["failed", "delivered"], "delivered"),
        (["sent", "sent"], "sent"),
        (["SENT"], "sent"),
        (["lost"], "dispatched"),
        ([7], "dispatched"),
    ],
)
def test_reports_move_a_message_forward_only(cable, words, status):
    talk = cable.subscribed()
    (message_id,) = cable.queue()
    (payload,) = sent(talk.work())
    for word in words:
        answer = perform(
            talk,
            "delivery_status",
            message_id=payload["message_id"],
            status=word,
            error_message="No service",
        )
        assert answer == []
    assert cable.message(message_id).status == status


def test_why_an_sms_failed_is_kept(cable):
    talk = cable.subscribed()
    (message_id,) = cable.queue()
    (payload,) = sent(talk.work())
    perform(
        talk,
        "delivery_status",
        message_id=payload["message_id"],
        status="error",
        error_message="Radio\0 off",
    )
    assert cable.message(message_id).reason == "Radio\ufffd off"


@pytest.mark.parametrize("wrong", [None, 7, "", "msg_1", "msg_" + "0" * 32])
def test_a_report_of_a_message_nobody_knows_is_passed_over(cable, wrong):
    talk = cable.subscribed()
    assert perform(talk, "delivery_status", message_id=wrong, status="sent") == []


def test_a_heartbeat_keeps_the_device_online_and_silence_ends_it_after_two_minutes(cable):
    talk = cable.subscribed()
    cable.pass_time(seconds=90)
    assert perform(talk, "heartbeat", status="online") == []
    cable.flush()
    cable.pass_time(seconds=119)
    assert registry.is_online(cable.device(), clock.now(), 300)
    cable.pass_time(seconds=1)
    assert not registry.is_online(cable.device(), clock.now(), 300)


def test_a_device_whose_heartbeat_is_late_is_asked_for_one_now_and_then(cable):
    talk = cable.subscribed()
    cable.flush()
    cable.pass_time(seconds=89)
    assert cable.inspected(talk) == []
    cable.pass_time(seconds=1)
    assert cable.inspected(talk) == [talk]
    assert said(talk.work()) == [
        {"identifier": IDENTIFIER, "message": {"action": "ping", "payload": {}}}
    ]
    assert cable.inspected(talk) == []
    cable.pass_time(seconds=90)
    assert cable.inspected(talk) == [talk]


def test_what_is_never_confirmed_goes_out_once_and_fails_after_five_minutes(cable):
    talk = cable.subscribed()
    (message_id,) = cable.queue()
    (payload,) = sent(talk.work())
    talk.closed()
    again = cable.subscribed()
    cable.pass_time(seconds=299)
    cable.run_housekeeping()
    assert cable.message(message_id).status == "dispatched"
    cable.pass_time(seconds=1)
    assert cable.waiting(again) == []
    assert sent(again.work()) == []
    cable.run_housekeeping()
    assert cable.message(message_id).status == "failed"
    assert cable.message(message_id).reason_class == "unconfirmed"
    perform(again, "delivery_status", message_id=payload["message_id"], status="sent")
    assert cable.message(message_id).status == "sent"


def test_a_report_means_that_a_message_never_goes_out_again(cable):
    talk = cable.subscribed()
    cable.queue()
    (payload,) = sent(talk.work())
    perform(talk, "delivery_status", message_id=payload["message_id"], status="sent")
    cable.pass_time(hours=1)
    assert cable.waiting(talk) == []


def test_a_dispatch_of_a_socket_is_not_handed_out_again_by_a_poll(cable):
    cable.queue()
    assert sent(command(cable.conversation(), "subscribe"))
    cable.pass_time(minutes=10)
    headers = {"Authorization": f"Bearer {cable.key}"}
    for _ in range(2):
        answer = cable.world.client.post("/api/sms", json={}, headers=headers)
        assert answer.json == {"messages": []}
        cable.flush()
    assert cable.device().protocol == protocols.CHT


def test_a_dispatch_of_a_poll_is_not_handed_out_again_by_a_socket(cable):
    cable.change(protocol="cht")
    cable.queue()
    headers = {"Authorization": f"Bearer {cable.key}"}
    assert len(cable.world.client.post("/api/sms", json={}, headers=headers).json["messages"]) == 1
    cable.pass_time(minutes=10)
    assert sent(command(cable.conversation(), "subscribe")) == []


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("heartbeat", {}),
        ("sms_received", {"phone_number": "+12025550123", "message_body": "hi"}),
        ("sms_received", {"phone_number": []}),
        ("delivery_status", {"message_id": "unknown", "status": "sent"}),
    ],
)
def test_a_socket_whose_key_is_void_is_sent_away_by_what_it_says_and_nothing_is_taken(
    cable, loss, action, payload
):
    socket = cable.subscribed()
    with cable.world.database.transaction() as session:
        loss(session, registry.get(session, "gateway-1"))
    answer = said(perform(socket, action, **payload))
    assert answer[0] == {"type": "disconnect", "reason": "remote", "reconnect": False}
    cable.flush()
    assert (cable.inbox(), cable.quarantined()) == ([], [])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_key_that_became_void_before_the_subscription_gets_none(cable, loss):
    socket = cable.conversation()
    cable.queue()
    with cable.world.database.transaction() as session:
        loss(session, registry.get(session, "gateway-1"))
    answer = said(command(socket, "subscribe"))
    assert answer[0] == {"type": "disconnect", "reason": "remote", "reconnect": False}
    assert cable.device().socket_id is None


@pytest.mark.parametrize("loss", LOSSES)
def test_a_key_that_becomes_void_between_the_look_and_the_hand_out_is_handed_nothing(
    cable, monkeypatch, loss
):
    socket = cable.subscribed()
    (message_id,) = cable.queue()
    find_ready = handing_out.may_take

    def late(*arguments):
        with cable.world.database.transaction() as session:
            loss(session, registry.get(session, "gateway-1"))
        return find_ready(*arguments)

    monkeypatch.setattr(handing_out, "may_take", late)
    assert socket.work() == []
    assert cable.message(message_id).status == "queued"


def test_a_gateway_that_was_reset_has_nothing_in_hand_and_a_late_report_still_counts(cable):
    talk = cable.subscribed()
    (message_id,) = cable.queue()
    (payload,) = sent(talk.work())
    with cable.world.database.transaction() as session:
        enrolment.reset(session, registry.get(session, "gateway-1"), clock.now())
    assert cable.message(message_id).reason_class == "unconfirmed"
    cable.pass_time(minutes=10)
    assert sent(talk.work()) == []
    perform(talk, "delivery_status", message_id=payload["message_id"], status="sent")
    assert cable.message(message_id).status == "sent"


def test_a_gateway_with_a_new_key_is_not_handed_again_what_the_old_one_may_have_sent(cable):
    (message_id,) = cable.queue()
    assert len(sent(cable.subscribed().work())) == 0
    assert cable.message(message_id).status == "dispatched"
    with cable.world.database.transaction() as session:
        device = registry.get(session, "gateway-1")
        cable.key = enrolment.rotate_key(session, device, clock.now())
    talk = cable.subscribed()
    cable.pass_time(minutes=6)
    assert sent(talk.work()) == []
    cable.run_housekeeping()
    assert cable.message(message_id).reason_class == "unconfirmed"
