"""MySMSAPio's REST: every answer the app and its document know."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from smsgw import clock
from smsgw.core.accounts import ownership, rate_limits
from smsgw.core.accounts.rate_limits import Limit
from smsgw.core.devices import pairing, presence, registry

from ..conftest import NOW
from .conftest import command, sent

REGISTER = "/api/v1/gateway/register"
HEARTBEAT = "/api/v1/gateway/heartbeat"
RECEIVED = "/api/v1/gateway/sms/received"
STATUS = "/api/v1/gateway/sms/status"
SEND = "/api/v1/sms/send"
PHONE = {
    "device_id": "samsung-galaxy-001",
    "name": "My Android Phone",
    "device_info": {"manufacturer": "Samsung", "model": "Galaxy S21", "app_version": "1.0.0"},
}
SMS = {
    "phone_number": "+959123456789",
    "message_body": "Hello, this is a test message",
    "received_at": "2025-10-20T13:45:30Z",
    "sim_slot": 1,
}


@pytest.fixture
def registering(cable):
    with cable.world.database.transaction() as session:
        pairing.PHONES.open_for(session, 5, clock.now())
    return lambda body: cable.world.client.post(REGISTER, json=body)


def test_a_device_registers_itself_and_may_use_its_key_once_it_is_approved(cable, registering):
    answer = registering(PHONE)
    assert answer.status_code == 201
    gateway = answer.json["gateway"]
    assert answer.json["success"] is True
    assert answer.json["message"] == "Gateway registered successfully"
    assert isinstance(gateway["id"], int)
    assert re.fullmatch(r"gw_live_[0-9a-f]{64}", gateway["api_key"])
    assert gateway["device_id"] == "samsung-galaxy-001"
    assert gateway["name"] == "My Android Phone"
    assert (gateway["status"], gateway["active"]) == ("offline", True)
    refused = cable.post(HEARTBEAT, {}, gateway["api_key"])
    assert (refused.status_code, refused.json) == (
        403,
        {"success": False, "error": "this device waits for an operator's approval"},
    )
    with cable.world.database.transaction() as session:
        ownership.approve(session, registry.get(session, "samsung-galaxy-001"))
    assert cable.post(HEARTBEAT, {}, gateway["api_key"]).status_code == 200
    device = cable.device("samsung-galaxy-001")
    assert (device.name, device.app_version) == ("My Android Phone", "1.0.0")


def test_a_name_that_is_taken_is_400(registering):
    registering(PHONE)
    answer = registering(PHONE)
    assert answer.status_code == 400
    assert answer.json == {"success": False, "error": "Device ID already exists"}


@pytest.mark.parametrize(
    "change",
    [{"device_id": ""}, {"device_id": None}, {"device_id": "a b"}, {"name": " "}, {"name": 7}],
)
def test_a_missing_or_blank_field_is_422(registering, change):
    answer = registering({**PHONE, **change})
    assert answer.status_code == 422
    assert answer.json["success"] is False


def test_registration_is_closed_unless_somebody_opened_it(cable):
    answer = cable.world.client.post(REGISTER, json=PHONE)
    assert answer.status_code == 403
    assert answer.json["success"] is False
    assert "device pair" in answer.json["error"]


def test_registration_closes_by_itself(cable, registering):
    cable.pass_time(minutes=5)
    assert registering(PHONE).status_code == 403


def test_the_setting_opens_registration_for_ever(cable):
    is_open = replace(cable.world.settings, open_registration=True)
    with cable.world.database.reading() as session:
        assert pairing.PHONES.is_open(session, is_open, NOW)
        assert not pairing.PHONES.is_open(session, cable.world.settings, NOW)


def test_registrations_have_a_limit(cable, registering):
    answers = [registering({**PHONE, "device_id": f"d{number}"}) for number in range(11)]
    assert [answer.status_code for answer in answers] == [201] * 10 + [429]


def test_a_heartbeat_is_answered_and_brings_the_device_online(cable):
    answer = cable.post(HEARTBEAT, {"status": "online", "battery_level": 85})
    assert answer.status_code == 200
    assert answer.json == {
        "success": True,
        "message": "Heartbeat received",
        "gateway_status": "online",
    }
    cable.flush()
    assert registry.is_online(cable.device(), clock.now(), 300)


def test_a_device_without_heartbeat_is_told_to_be_offline_after_two_minutes(cable):
    cable.post(HEARTBEAT, {})
    cable.flush()
    changes = []
    for seconds in (119, 1, 1):
        cable.pass_time(seconds=seconds)
        with cable.world.database.transaction() as session:
            changes.append(presence.announce_changes(session, cable.world.settings, clock.now()))
    # It comes online with the first look, and goes with the one after two minutes.
    assert changes == [1, 1, 0]


def test_a_fifth_heartbeat_in_a_minute_is_429(cable):
    answers = [cable.post(HEARTBEAT, {}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers] == [3, 2, 1, 0, 0]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"4"}
    assert int(answers[-1].headers["X-RateLimit-Reset"]) == NOW.timestamp() + 60
    assert [answer.headers.get("Retry-After") for answer in answers] == [None] * 4 + ["15"]
    assert answers[-1].json["success"] is False
    cable.pass_time(seconds=15)
    assert cable.post(HEARTBEAT, {}).status_code == 200


def test_limits_count_each_device_by_itself(cable):
    for _ in range(5):
        cable.post(HEARTBEAT, {})
    headers = cable.world.as_device()
    assert cable.world.client.post(HEARTBEAT, json={}, headers=headers).status_code == 200


def test_an_sms_is_kept_and_answered_with_our_id(cable):
    answer = cable.post(RECEIVED, SMS)
    assert answer.status_code == 201
    (message,) = cable.inbox()
    assert answer.json == {
        "success": True,
        "message": "SMS received and processed",
        "message_id": message.id,
    }
    assert message.id.startswith("msg_")
    assert answer.headers["X-RateLimit-Limit"] == "100"


def test_the_same_sms_again_gets_the_same_id(cable):
    first, second = (cable.post(RECEIVED, SMS) for _ in range(2))
    assert second.status_code == 201
    assert second.json == first.json
    assert len(cable.inbox()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"phone_number": "+959000000000"},
        {"message_body": "other"},
        {"received_at": "2025-10-20T13:45:31Z"},
    ],
)
def test_another_sms_is_another_sms(cable, change):
    cable.post(RECEIVED, SMS)
    cable.post(RECEIVED, {**SMS, **change})
    assert len(cable.inbox()) == 2


TELLING_NO_MOMENT = pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        0,
        -1,
        10**20,
        1e300,
        True,
        [],
        {"at": 1},
        "now",
        "2025-10-20",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "1970-01-01T03:00:00+03:00",
        1,
    ],
    ids=repr,
)


@TELLING_NO_MOMENT
@pytest.mark.parametrize("minutes", [0, 1, 4])
def test_an_sms_whose_time_tells_no_moment_is_a_repeat_within_some_minutes(cable, value, minutes):
    cable.pass_time(seconds=59)
    first = cable.post(RECEIVED, {**SMS, "received_at": value})
    cable.pass_time(minutes=minutes)
    second = cable.post(RECEIVED, {**SMS, "received_at": value})
    assert (second.status_code, second.json) == (201, first.json)
    cable.post(RECEIVED, {**SMS, "received_at": value, "message_body": "other"})
    assert len(cable.inbox()) == 2


@TELLING_NO_MOMENT
def test_an_equal_sms_whose_time_tells_no_moment_is_never_lost_for_long(cable, value):
    made = set()
    for _ in range(3):
        made.add(cable.post(RECEIVED, {**SMS, "received_at": value}).json["message_id"])
        cable.pass_time(minutes=6)
    assert len(made) == len(cable.inbox()) == 3


def test_a_missing_time_of_receipt_is_one_that_is_null(cable):
    sms = {name: value for name, value in SMS.items() if name != "received_at"}
    first, second = cable.post(RECEIVED, sms), cable.post(RECEIVED, {**sms, "received_at": None})
    assert second.json == first.json


@pytest.mark.parametrize("minutes", [-60, 60])
def test_a_repeat_is_known_by_its_moment_whatever_time_has_passed(cable, minutes):
    first = cable.post(RECEIVED, SMS)
    cable.pass_time(minutes=minutes)
    assert cable.post(RECEIVED, SMS).json == first.json


@pytest.mark.parametrize("value", [None, "now"])
def test_repeats_at_the_same_time_are_one_sms(cable, value):
    with ThreadPoolExecutor(4) as threads:
        posts = [
            threads.submit(cable.post, RECEIVED, {**SMS, "received_at": value}) for _ in range(8)
        ]
    assert len({post.result().json["message_id"] for post in posts}) == len(cable.inbox()) == 1


@pytest.mark.parametrize("moment", ["yesterday", "", 7, None, "2025-13-01T00:00:00Z"])
def test_a_strange_time_of_receipt_loses_no_sms(cable, moment):
    assert cable.post(RECEIVED, {**SMS, "received_at": moment}).status_code == 201
    assert len(cable.inbox()) == 1


SPELLINGS = [
    "2025-10-20T13:45:30Z",
    "2025-10-20T13:45:30.000Z",
    "2025-10-20t13:45:30+00:00",
    "2025-10-20 16:45:30+03:00",
    "2025-10-20T13:45:30",
    1760967930,
    1760967930.0,
    1760967930000,
    1760967930000000,
    "1760967930",
    "1760967930000",
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
def test_the_same_moment_in_any_spelling_is_the_same_sms(cable, spelling):
    first = cable.post(RECEIVED, SMS).json
    assert cable.post(RECEIVED, {**SMS, "received_at": spelling}).json == first
    (message,) = cable.inbox()
    assert message.device_received_at.isoformat() == "2025-10-20T13:45:30+00:00"


@pytest.mark.parametrize(
    "value",
    [0, -1, 10**20, 1e300, True, False, [], [1], {"at": 1, "zone": "x"}, "yesterday", " "],
    ids=repr,
)
def test_a_repeat_with_any_value_for_its_time_is_the_same_sms(cable, value):
    first, second = (cable.post(RECEIVED, {**SMS, "received_at": value}) for _ in range(2))
    assert (first.status_code, second.json) == (201, first.json)
    cable.post(RECEIVED, {**SMS, "received_at": "tomorrow"})
    assert len(cable.inbox()) == 2


@pytest.mark.parametrize(
    ("change", "sender", "content"),
    [
        ({"phone_number": ""}, "", SMS["message_body"]),
        ({"phone_number": None}, "", SMS["message_body"]),
        ({"phone_number": 22922}, "22922", SMS["message_body"]),
        ({"message_body": ""}, SMS["phone_number"], ""),
        ({"message_body": None}, SMS["phone_number"], ""),
        ({"message_body": 4711}, SMS["phone_number"], "4711"),
    ],
)
def test_an_sms_with_odd_fields_is_kept(cable, change, sender, content):
    assert cable.post(RECEIVED, {**SMS, **change}).status_code == 201
    (message,) = cable.inbox()
    assert (message.from_number, message.content) == (sender, content)


def test_an_sms_without_a_sender_is_kept(cable):
    sms = {name: value for name, value in SMS.items() if name != "phone_number"}
    for _ in range(2):
        assert cable.post(RECEIVED, sms).status_code == 201
    (message,) = cable.inbox()
    assert message.from_number == ""


def test_text_that_no_database_keeps_is_replaced(cable):
    body = json.dumps({**SMS, "message_body": "a\0b\ud83d"})
    cable.post(RECEIVED, None, data=body)
    (message,) = cable.inbox()
    assert message.content == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    "change",
    [
        {"phone_number": ["+959"]},
        {"phone_number": "x" * 101},
        {"message_body": {"text": "x"}},
        {"message_body": "x" * 65537},
    ],
)
def test_an_sms_that_cannot_be_read_is_422_and_put_aside(cable, change):
    answer = cable.post(RECEIVED, {**SMS, **change})
    assert answer.status_code == 422
    assert answer.json["success"] is False
    assert cable.inbox() == []
    assert len(cable.quarantined()) == 1


def test_received_sms_are_never_refused_for_their_number(cable):
    answers = [cable.post(RECEIVED, {**SMS, "message_body": str(n)}) for n in range(102)]
    assert {answer.status_code for answer in answers} == {201}
    assert answers[-1].headers["X-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in answers[-1].headers
    assert len(cable.inbox()) == 102


def test_a_report_is_applied(cable):
    (message_id,) = cable.queue()
    (payload,) = sent(command(cable.conversation(), "subscribe"))
    body = {"message_id": payload["message_id"], "status": "delivered", "delivered_at": "x"}
    answer = cable.post(STATUS, body)
    assert answer.status_code == 200
    assert answer.json == {"success": True, "message": "Status updated"}
    assert answer.headers["X-RateLimit-Limit"] == "1000"
    assert cable.message(message_id).status == "delivered"
    assert cable.post(STATUS, {**body, "status": "sent"}).status_code == 200
    assert cable.message(message_id).status == "delivered"


def test_a_report_of_an_unknown_message_is_404(cable):
    answer = cable.post(STATUS, {"message_id": "msg_" + "0" * 32, "status": "sent"})
    assert answer.status_code == 404
    assert answer.json == {"success": False, "error": "Message not found"}


def test_a_report_of_another_devices_message_is_404(cable):
    cable.queue()
    (payload,) = sent(command(cable.conversation(), "subscribe"))
    body = {"message_id": payload["message_id"], "status": "sent"}
    headers = cable.world.as_device()
    assert cable.world.client.post(STATUS, json=body, headers=headers).status_code == 404


def test_a_status_nobody_knows_is_422(cable):
    answer = cable.post(STATUS, {"message_id": "msg_" + "0" * 32, "status": "queued"})
    assert answer.status_code == 422
    assert "delivered" in answer.json["error"]


def test_a_crm_sends(cable):
    answer = cable.post(SEND, {"to": "+95 9123456789", "message": "Hi"}, cable.world.crm_key)
    assert answer.status_code == 202
    message = cable.message(answer.json["message_id"])
    assert answer.json == {"success": True, "message_id": message.id, "status": "queued"}
    assert (message.to_number, message.content) == ("+959123456789", "Hi")


def test_a_number_nobody_can_send_to_is_422(cable):
    answer = cable.post(SEND, {"to": "nobody", "message": "Hi"}, cable.world.crm_key)
    assert answer.status_code == 422
    assert answer.json == {"success": False, "error": "Invalid phone number format"}


@pytest.mark.parametrize("body", [{"to": "+959123456789"}, {"message": "Hi"}, {}, {"to": 7}])
def test_sending_without_number_or_text_is_422(cable, body):
    assert cable.post(SEND, body, cable.world.crm_key).status_code == 422


def test_an_idempotency_key_makes_a_repeat_harmless(cable):
    def send(text):
        return cable.world.client.post(
            SEND,
            json={"to": "+959123456789", "message": text},
            headers={**cable.world.as_crm(), "Idempotency-Key": "k"},
        )

    assert send("Hi").json == send("Hi").json
    conflict = send("other")
    assert conflict.status_code == 409
    assert conflict.json["success"] is False


@pytest.mark.parametrize("path", [HEARTBEAT, RECEIVED, STATUS])
def test_a_wrong_key_is_401_and_a_disabled_device_403(cable, path):
    for key in ("gw_live_" + "0" * 64, "x"):
        answer = cable.post(path, {}, key)
        assert answer.status_code == 401
        assert answer.json == {"success": False, "error": "Invalid or missing API key"}
    answer = cable.post(path, {}, cable.world.crm_key)
    assert answer.status_code == 401
    assert answer.json["error"].startswith("this is a CRM's key; this URL needs a device's name")
    cable.change(enabled=False)
    answer = cable.post(path, {})
    assert answer.status_code == 403
    assert set(answer.json) == {"success", "error"}


def test_a_device_may_not_send_as_a_crm(cable):
    assert cable.post(SEND, {"to": "+959123456789", "message": "Hi"}).status_code == 401


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b'"x"', b"[" * 100_000])
def test_what_is_no_json_object_is_400(cable, body):
    answer = cable.post(RECEIVED, None, data=body)
    assert answer.status_code == 400
    assert answer.json["success"] is False


@pytest.mark.parametrize(
    "path", ["/api/v1/gateway", "/api/v1/gateway/nothing", "/api/v1/sms/nothing"]
)
def test_errors_of_an_unknown_url_are_the_protocols_own(cable, path):
    answer = cable.world.client.get(path)
    assert answer.status_code == 404
    assert set(answer.json) == {"success", "error"}


def test_a_wrong_method_is_405_in_the_protocols_own_words(cable):
    answer = cable.world.client.get(HEARTBEAT)
    assert answer.status_code == 405
    assert set(answer.json) == {"success", "error"}
    assert "POST" in answer.headers["Allow"]


def test_a_body_that_is_too_large_is_413(cable):
    answer = cable.post(RECEIVED, {"message_body": "x" * 2_000_000})
    assert answer.status_code == 413
    assert set(answer.json) == {"success", "error"}


def test_a_bug_is_500_in_the_protocols_own_words(cable, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError

    monkeypatch.setattr("smsgw.phones.mysmsapio.translation.take_sms", broken)
    cable.world.app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = cable.post(RECEIVED, SMS)
    assert answer.status_code == 500
    assert set(answer.json) == {"success", "error"}


def test_other_doors_keep_their_errors(cable):
    assert set(cable.world.client.get("/api/v1/gatewayx").json) >= {"error", "code", "message"}


def test_up_is_up(cable):
    assert cable.world.client.get("/up").status_code == 200


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_cable_without_a_socket_is_page_not_found(cable, method):
    answer = getattr(cable.world.client, method)("/cable")
    assert answer.status_code == 404
    assert answer.mimetype == "text/plain"
    assert answer.text == "Page not found"


def test_a_rate_is_exact_over_a_minute(database):
    """A hundred at once, then one for each 0.6 seconds, whatever the order of the processes."""
    limit = Limit("test", 100, 60)

    def count(seconds):
        with database.transaction() as session:
            now = NOW + timedelta(seconds=seconds)
            return rate_limits.count(session, limit, "somebody", now).is_allowed

    assert [count(0) for _ in range(101)] == [True] * 100 + [False]
    assert [count(0.5), count(0.6), count(0.7), count(1.2), count(60)] == [
        False,
        True,
        False,
        True,
        True,
    ]


def test_a_rate_is_exact_when_many_count_at_once(database):
    limit = Limit("test", 100, 60)

    def count(_):
        with database.transaction() as session:
            return rate_limits.count(session, limit, "somebody", NOW).is_allowed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(count, range(200))) == 100


def test_a_server_that_keeps_its_sockets_says_so(cable):
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert cable.world.client.get("/cable", headers=headers).status_code == 501


def test_counts_nobody_used_for_a_day_are_forgotten(database):
    limit = Limit("test", 1, 60)
    with database.transaction() as session:
        rate_limits.count(session, limit, "somebody", NOW)
        rate_limits.forget_unused(session, NOW + timedelta(hours=25))
        assert rate_limits.count(session, limit, "somebody", NOW).is_allowed
