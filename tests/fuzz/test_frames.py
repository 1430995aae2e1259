"""Whatever a frame of a socket holds, the conversation goes on, and its answers are frames."""

import json
import uuid

from hypothesis import strategies as st

from smsgw import clock
from smsgw.core.devices import logins
from smsgw.http.context import EXTENSION
from smsgw.live.conversation import Close, Drop
from smsgw.phones.mysmsapio.conversation import CableConversation
from smsgw.websocket_api.crm_socket import CrmConversation
from smsgw.websocket_api.device_socket import DeviceConversation

from .conftest import Target
from .mutations import fuzz, mutated, written

IDENTIFIER = '{"channel":"GatewayChannel"}'
NUMBER = "+12025550123"


def message(action: str, **payload: object) -> dict[str, object]:
    data = json.dumps({"action": action, "payload": payload})
    return {"command": "message", "identifier": IDENTIFIER, "data": data}


CABLE = [
    {"command": "subscribe", "identifier": IDENTIFIER},
    {"command": "unsubscribe", "identifier": IDENTIFIER},
    message("heartbeat", status="online"),
    message(
        "sms_received", phone_number=NUMBER, message_body="x", received_at="2026-03-01T12:00:00Z"
    ),
    message("delivery_status", message_id="msg_x", status="failed", error_message="x"),
]
DEVICE = [
    {"event": "messageReceived", "data": {"messageId": "m", "sender": NUMBER, "content": "hi"}},
    {"event": "messageStatus", "id": 1, "data": {"messageId": "m", "status": "SENT"}},
    {"messageId": "m", "sender": NUMBER, "content": "hi", "timestamp": "2026-03-01T12:00:00Z"},
]
CRM = [
    {
        "event": "sendMessage",
        "id": 7,
        "data": {"receiver": NUMBER, "content": "x", "deviceId": "sock"},
    },
    {"receiver": NUMBER, "content": "x", "deviceId": "sock"},
]


def frames(shapes: list[dict[str, object]]) -> st.SearchStrategy[str | bytes]:
    """Frames of these shapes with something wrong, as text or as bytes."""
    sent = st.sampled_from(shapes).flatmap(written)
    return st.one_of(sent, sent.map(lambda raw: raw.decode("utf-8", "replace")))


def login(target: Target, key: str) -> logins.Login:
    found = logins.find_by_key(target.world.database, key, clock.now())
    assert found is not None
    return found


def check(target: Target, answer: object) -> None:
    for words in answer:
        assert isinstance(words, str | Close | Drop)
        if isinstance(words, str):
            assert isinstance(json.loads(words), dict)
            words.encode()
    target.check_log()


def test_whatever_comes_over_the_cable_is_read(target: Target):
    talk = CableConversation(target.world.app.extensions[EXTENSION], login(target, target.app_key))
    talk.received(json.dumps(CABLE[0]))

    @fuzz(frames(CABLE))
    def attempt(sent):
        check(target, talk.received(sent))

    attempt()


def test_whatever_a_device_says_over_its_socket_is_answered(target: Target):
    talk = DeviceConversation(
        target.world.app.extensions[EXTENSION], login(target, target.sock_key)
    )
    talk.opened()

    @fuzz(frames(DEVICE))
    def attempt(sent):
        check(target, talk.received(sent))

    attempt()


def test_whatever_a_crm_says_over_its_socket_is_answered(target: Target):
    world = target.world
    talk = CrmConversation(world.settings, world.database, world.crm_id, world.crm_key, None)
    talk.opened()

    @fuzz(frames(CRM))
    def attempt(sent):
        check(target, talk.received(sent))

    attempt()


def test_an_sms_that_a_device_brings_in_a_readable_frame_is_kept_once(target: Target):
    talk = DeviceConversation(
        target.world.app.extensions[EXTENSION], login(target, target.sock_key)
    )
    talk.opened()

    @fuzz(mutated({"timestamp": "2026-03-01T12:00:00Z", "receiver": NUMBER, "more": {"a": 1}}))
    def attempt(more):
        if not isinstance(more, dict):
            return
        text = str(uuid.uuid4())
        data = {**more, "messageId": text, "sender": NUMBER, "content": text}
        for _ in range(2):
            check(target, talk.received(json.dumps({"event": "messageReceived", "data": data})))
            assert target.count(content=text) == 1

    attempt()
