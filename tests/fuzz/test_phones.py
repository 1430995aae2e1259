"""Whatever a phone sends is answered, and an SMS that can be read is kept once, whatever stands beside it."""

import json
import uuid

from hypothesis import strategies as st

from smsgw import json_reader
from smsgw.core.messages import batches
from smsgw.http import json_limits

from .conftest import Target
from .mutations import AUTHORIZATIONS, HEADERS, fuzz, mutated, packed, written

SMS = {
    "id": "2f0e9a1c-3f4b-4b9d-8f55-6a8c9d1e2f30",
    "from": "+4915198765432",
    "content": "hi",
    "sms_sent": 1772366399000,
    "sms_received": 1772366400000,
}
POLL = {
    "messages": [SMS, {**SMS, "id": "b"}],
    "updates": [
        {"id": "c0ffee", "status": "SENT"},
        {"id": "c0ffee", "status": "FAILED", "reason": "generic; errorCode=1"},
    ],
}
MYSMSAPIO = {
    "/api/v1/gateway/heartbeat": {"status": "online", "pending_messages": 0, "device_info": {}},
    "/api/v1/gateway/sms/received": {
        "phone_number": "+4915198765432",
        "message_body": "hi",
        "received_at": "2026-03-01T12:00:00Z",
    },
    "/api/v1/gateway/sms/status": {"message_id": "msg_x", "status": "failed", "error_message": "x"},
    "/api/v1/gateway/register": {
        "device_id": "d",
        "name": "n",
        "device_info": {"app_version": "1"},
    },
}


def test_a_readable_sms_in_a_fuzzed_poll_is_kept_once(target: Target):
    @fuzz(mutated(POLL), st.booleans())
    def attempt(body, is_first):
        phone_id = str(uuid.uuid4())
        sms = {**SMS, "id": phone_id, "content": phone_id}
        messages = body.get("messages") if isinstance(body, dict) else None
        if not isinstance(messages, list) or len(messages) >= batches.MOST_ITEMS:
            return
        body = {**body, "messages": [sms, *messages] if is_first else [*messages, sms]}
        data = json.dumps(body).encode()
        if json_limits.find_excess(data):
            return
        for _ in range(2):
            answer = target.send("POST", "/api/sms", data, target.world.as_device())
            assert (answer.status_code, list(answer.json)) == (200, ["messages"])
            assert target.count(content=phone_id) == 1

    attempt()


def test_any_json_object_of_a_phone_is_taken(target: Target):
    @fuzz(written(POLL))
    def attempt(data):
        answer = target.send("POST", "/api/sms", data, target.world.as_device())
        try:
            is_object = isinstance(json_reader.read_tolerantly(data), dict)
        except json_reader.InvalidJson:
            is_object = False
        is_taken = is_object or (answer.status_code == 200 and json_limits.find_excess(data))
        assert answer.status_code == (200 if is_taken else 400), answer.text

    attempt()


def test_packed_bodies_are_taken_or_refused(target: Target):
    @fuzz(written(POLL).flatmap(packed), part=2)
    def attempt(sent):
        data, encoding = sent
        headers = {**target.world.as_device(), "Content-Encoding": encoding}
        answer = target.send("POST", "/api/sms", data, headers)
        assert answer.status_code in (200, 400, 413, 415)

    attempt()


def test_any_headers_of_a_phone_are_answered(target: Target):
    @fuzz(AUTHORIZATIONS, HEADERS, st.sampled_from(["GET", "POST"]))
    def attempt(authorization, headers, method):
        data = json.dumps(POLL).encode() if method == "POST" else b""
        headers = {**headers, "Authorization": authorization}
        answer = target.send(method, "/api/sms", data, headers)
        assert answer.status_code in (401, 429)

    attempt()


def test_right_credentials_count_whatever_other_headers_say(target: Target):
    @fuzz(HEADERS)
    def attempt(headers):
        data = json.dumps(POLL).encode()
        headers = {**headers, **target.world.as_device()}
        assert target.send("POST", "/api/sms", data, headers).status_code == 200

    attempt()


def test_whatever_a_mysmsapio_app_sends_is_answered(target: Target):
    @fuzz(
        st.sampled_from(list(MYSMSAPIO)).flatmap(
            lambda path: st.tuples(st.just(path), written(MYSMSAPIO[path]))
        )
    )
    def attempt(sent):
        path, data = sent
        target.send("POST", path, data, target.app)

    attempt()


def test_a_readable_sms_of_a_mysmsapio_app_is_kept_once(target: Target):
    @fuzz(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4))
    def attempt(more):
        text = str(uuid.uuid4())
        shape = MYSMSAPIO["/api/v1/gateway/sms/received"]
        data = json.dumps({**more, **shape, "message_body": text}).encode()
        for _ in range(2):
            answer = target.send("POST", "/api/v1/gateway/sms/received", data, target.app)
            assert answer.status_code == 201
            assert target.count(content=text) == 1

    attempt()
