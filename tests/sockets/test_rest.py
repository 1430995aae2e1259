"""The REST half: registering, sending, looking up, mapping, and who may do it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from smsgw.core.accounts import crms, enrolment
from smsgw.core.devices import registry, routing
from smsgw.core.devices.protocols import SOCKET
from smsgw.core.events import recording
from smsgw.http.context import EXTENSION
from smsgw.websocket_api import keys
from tests.conftest import NOW

from .conftest import INCOMING, OUTGOING, Stage, frames_of, say


def open_the_door(stage: Stage) -> None:
    served = stage.world.app.extensions[EXTENSION]
    served.settings = replace(served.settings, open_registration=True, open_crm_registration=True)


def mapped(stage: Stage, crm_id: str) -> list[str]:
    with stage.world.database.reading() as session:
        return routing.device_ids_of(session, crms.get(session, crm_id))


def register(stage: Stage, device_id: str, key: str | None = None) -> Any:
    return stage.call("POST", "/registerDevice", {"deviceId": device_id}, key)


def test_a_device_registered_by_a_crm_is_mapped_to_it(stage: Stage):
    made = register(stage, "new", stage.crm_key)
    assert made.status_code == 201
    assert set(made.json) == {"deviceId", "phoneNumber", "token", "webSocketUrl"}
    assert made.json["webSocketUrl"] == f"ws://localhost/ws?token={made.json['token']}"
    assert mapped(stage, stage.crm_id) == ["12345", "new"]


def test_the_socket_is_where_the_server_is_known(stage: Stage):
    served = stage.world.app.extensions[EXTENSION]
    served.settings = replace(served.settings, public_url="https://sms.example.org")
    made = register(stage, "new", stage.operator_key)
    assert made.json["webSocketUrl"].startswith("wss://sms.example.org/ws?token=gw_live_")


def test_registering_again_makes_the_old_token_void(stage: Stage):
    made = register(stage, "12345", stage.operator_key)
    assert made.status_code == 200
    assert register(stage, "12345", stage.token).status_code == 401
    assert register(stage, "12345", made.json["token"]).status_code == 200, "its own token will do"


def test_registering_needs_a_key_unless_it_is_open(stage: Stage):
    assert register(stage, "new").status_code == 401
    assert register(stage, "new", "op_live_wrong").status_code == 401
    open_the_door(stage)
    assert register(stage, "new", "op_live_wrong").status_code == 401
    assert register(stage, "new").status_code == 201


def test_an_open_door_lets_nobody_rush_in(stage: Stage):
    open_the_door(stage)
    statuses = [register(stage, f"d{number}").status_code for number in range(11)]
    assert statuses == [201] * 10 + [429]
    refused = stage.call("POST", "/registerCRM", {"crmName": "new"})
    assert (refused.status_code, refused.json["error"]) == (429, True)
    assert int(refused.headers["Retry-After"]) > 0
    assert register(stage, "d11", stage.operator_key).status_code == 201


def test_an_open_door_gives_nobody_another_ones_device(stage: Stage):
    open_the_door(stage)
    with stage.world.database.transaction() as session:
        _, stranger = crms.add(session, "stranger", [], NOW)
        _, other = enrolment.add_with_key(session, "other", None, None, NOW)
        registry.get(session, "other").protocol = SOCKET
    for key in (None, stranger, other):
        assert register(stage, "12345", key).status_code == 409
    assert stage.device().opened() == [], "the token is still good"


def test_a_device_of_another_app_is_not_taken_over(stage: Stage):
    assert register(stage, "phone-1", stage.operator_key).status_code == 409


def test_the_only_crm_gets_the_devices_that_nobody_claims(stage: Stage):
    with stage.world.database.transaction() as session:
        crms.remove(session, crms.get(session, stage.world.crm_id), NOW)
    register(stage, "new", stage.operator_key)
    assert mapped(stage, stage.crm_id) == ["12345", "new"]
    stage.call("POST", "/registerCRM", {"crmName": "second"}, stage.operator_key)
    register(stage, "newer", stage.operator_key)
    assert mapped(stage, stage.crm_id) == ["12345", "new"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"{}", 422),
        (b'{"deviceId": 12345}', 422),
        (b'{"deviceId": "a b/\\u00fc"}', 422),
        (b'{"deviceId": "new", "phoneNumber": "hello"}', 422),
        (b'{"deviceId": "new", "phoneNumber": 5}', 422),
        (b'{"deviceId": "new", "phoneNumber": "+49302312500.0"}', 422),
        (b'{"deviceId": "new", "phoneNumber": null, "model": "x"}', 201),
    ],
)
def test_a_body_is_checked_and_unknown_fields_are_ignored(stage: Stage, body, status):
    headers = {"Authorization": f"Bearer {stage.operator_key}"}
    answer = stage.world.client.post("/registerDevice", data=body, headers=headers)
    assert answer.status_code == status
    if status >= 400:
        assert answer.json["error"] is True
    if status == 422:
        ((name, texts),) = answer.json["details"].items()
        assert name in ("deviceId", "phoneNumber")
        assert all(isinstance(text, str) for text in texts)
        assert isinstance(texts, list)


def test_a_crm_starts_without_devices_and_without_a_webhook(stage: Stage):
    made = stage.call("POST", "/registerCRM", {"crmName": "new"}, stage.operator_key)
    assert made.status_code == 201
    assert (made.json["callbackUrl"], made.json["webhookSecret"]) == (None, None)
    assert made.json["webSocketUrl"].endswith(f"/ws?apiKey={made.json['apiKey']}")
    assert mapped(stage, made.json["crmId"]) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"crmName": "new", "callbackUrl": "http://127.0.0.1/x"}, 422),
        ({"crmName": "new", "callbackUrl": "ftp://crm.example.com"}, 422),
        ({"crmName": "new", "callbackUrl": "amqps://8.8.8.8/?exchange=x"}, 422),
        ({"crmName": "new", "callbackUrl": "https://169.254.169.254/x"}, 422),
        ({"crmName": "new", "callbackUrl": "https://crm..invalid/x"}, 422),
        ({"crmName": "new", "callbackUrl": f"https://crm.invalid/{'x' * 2048}"}, 422),
        ({"crmName": ""}, 422),
        ({"crmName": "CRM"}, 409),
    ],
)
def test_a_crm_that_cannot_be_made_is_refused(stage: Stage, body, status):
    answer = stage.call("POST", "/registerCRM", body, stage.operator_key)
    assert answer.status_code == status
    assert ("callbackUrl" in answer.json["details"]) == ("callbackUrl" in body)
    assert stage.call("POST", "/registerCRM", {"crmName": "new"}).status_code == 401


def test_a_callback_whose_name_is_not_known_yet_is_taken(stage: Stage):
    body = {"crmName": "new", "callbackUrl": "https://crm.invalid/webhook"}
    made = stage.call("POST", "/registerCRM", body, stage.operator_key)
    assert made.status_code == 201
    assert made.json["webhookSecret"].startswith("whsec_")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"apiKey": "crm_live_wrong"}, 401),
        ({"apiKey": None}, 401),
        ({"deviceId": "nobody"}, 404),
        ({"deviceId": "phone-1"}, 403),
        ({"deviceId": ""}, 422),
        ({"receiver": "hello"}, 422),
        ({"content": 5}, 422),
    ],
)
def test_what_cannot_be_sent_is_refused(stage: Stage, changed, status):
    body = {**OUTGOING, "apiKey": stage.crm_key, **changed}
    answer = stage.call("POST", "/sendMessage", body)
    assert answer.status_code == status
    if "receiver" in changed:
        assert answer.json["message"].startswith("receiver: ")
        assert list(answer.json["details"]) == ["receiver"]


def test_the_key_may_stand_in_the_header_and_a_repeat_is_one_sms(stage: Stage):
    body = {name: value for name, value in OUTGOING.items() if name != "apiKey"}
    headers = {"Authorization": f"Bearer {stage.crm_key}", "Idempotency-Key": "k1"}
    first, second = (
        stage.world.client.post("/sendMessage", json=body, headers=headers) for _ in range(2)
    )
    assert first.status_code == 202
    assert first.json == second.json
    assert len(frames_of(stage.device().opened())) == 1


def test_a_message_can_be_looked_up_by_either_id(stage: Stage):
    phone = stage.device()
    phone.opened()
    say(phone, INCOMING)
    shown = stage.call("GET", "/messages/msg123", key=stage.crm_key).json
    assert (shown["direction"], shown["status"], shown["content"]) == (
        "inbound",
        "RECEIVED",
        "Hello!",
    )
    message_id = stage.queue()
    shown = stage.call("GET", f"/messages/{message_id}", key=stage.crm_key).json
    assert (shown["messageId"], shown["deviceId"]) == (message_id, "12345")
    assert (shown["direction"], shown["status"]) == ("outbound", "QUEUED")
    with stage.world.database.transaction() as session:
        _, stranger = crms.add(session, "stranger", ["12345"], NOW)
    for wanted in ("msg123", message_id, "nothing"):
        assert stage.call("GET", f"/messages/{wanted}", key=stranger).status_code == 404
    assert stage.call("GET", "/messages/msg123").status_code == 401


def test_an_operator_maps_devices_and_takes_them_away(stage: Stage):
    path = f"/devices/phone-1/crms/{stage.crm_id}"
    for _ in range(2):
        assert stage.call("PUT", path, key=stage.operator_key).status_code == 204
    assert mapped(stage, stage.crm_id) == ["12345", "phone-1"]
    for _ in range(2):
        assert stage.call("DELETE", path, key=stage.operator_key).status_code == 204
    assert mapped(stage, stage.crm_id) == ["12345"]
    assert stage.call("PUT", path, key=stage.crm_key).status_code == 401
    assert stage.call("PUT", "/devices/nobody/crms/x", key=stage.operator_key).status_code == 404
    everything = f"/devices/phone-1/crms/{stage.world.crm_id}"
    assert stage.call("DELETE", everything, key=stage.operator_key).status_code == 409


def test_what_is_queued_for_a_device_that_is_unmapped_is_cancelled(stage: Stage):
    message_id = stage.queue()
    path = f"/devices/12345/crms/{stage.crm_id}"
    assert stage.call("DELETE", path, key=stage.operator_key).status_code == 204
    shown = stage.call("GET", f"/api/v1/messages/{message_id}", key=stage.crm_key).json
    assert shown["status"] == "cancelled"


@pytest.mark.parametrize("query", ["", "?token=gw_live_wrong", "?apiKey=crm_live_wrong", "?token="])
def test_a_socket_without_a_good_key_is_refused_before_the_upgrade(stage: Stage, query):
    assert stage.world.client.get(f"/ws{query}").status_code == 401


def test_a_good_key_without_a_handshake_is_told_so(stage: Stage):
    assert stage.world.client.get(f"/ws?token={stage.token}").status_code == 400
    unknown = f"/ws?apiKey={stage.crm_key}&after=evt_{'f' * 32}"
    assert stage.world.client.get(unknown).status_code == 404


@pytest.mark.parametrize("unknown", [f"evt_{'f' * 32}", "evt_1", "0", "of another CRM"])
def test_what_is_said_of_an_unknown_position_loses_no_event_there(stage: Stage, unknown: str):
    if unknown == "of another CRM":
        ping = recording.NewEvent("webhook.ping", stage.world.crm_id, {})
        with stage.world.database.transaction() as session:
            (unknown,) = recording.record(session, [ping], NOW)
    phone = stage.device()
    phone.opened()
    say(phone, INCOMING)
    path = f"/ws?apiKey={stage.crm_key}&after="
    refusal = stage.world.client.get(f"{path}{unknown}")
    assert refusal.status_code == 404
    (advised,) = re.findall(r"after=(evt_[0-9a-f]{32})", refusal.json["message"])
    refused_handshake = stage.world.client.get(f"{path}{advised}")
    assert refused_handshake.status_code == 400, "the position was let pass"
    assert [event for event, _ in frames_of(stage.crm(after=advised).opened())] == [
        "messageReceived"
    ]


def test_a_token_that_becomes_void_while_its_request_is_under_way_gets_no_new_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    read = keys.json_body

    def late() -> Any:
        with stage.world.database.transaction() as session:
            enrolment.rotate_key(session, registry.get(session, "12345"), NOW)
        return read()

    monkeypatch.setattr(keys, "json_body", late)
    refused = register(stage, "12345", stage.token)
    assert (refused.status_code, refused.json["code"]) == (401, "unauthorized")
