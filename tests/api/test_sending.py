"""POST /api/v1/messages and what a CRM can do to a message afterwards."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from smsgw.store.models import Message

from .conftest import DRAFT, NUMBER, Api

FIELDS = [
    "id", "direction", "device_id", "from", "to", "content", "encoding", "segments", "status", "reason",
    "reason_class", "reference", "metadata", "priority", "send_at", "expires_at", "created_at", "updated_at",
    "sent_at", "delivered_at",
]  # fmt: skip


def test_a_message_is_queued_and_its_location_shows_it(api: Api):
    answer = api.post("/messages", DRAFT)
    assert answer.status_code == 202
    assert [name for name in FIELDS if name not in answer.json] == []
    assert answer.json["status"] == "queued"
    assert answer.json["priority"] == 4
    shown = api.call("GET", answer.headers["Location"].removeprefix("/api/v1"))
    assert shown.json["id"] == answer.json["id"]
    assert shown.json["content"] == "hello"


def test_all_that_was_given_comes_back(api: Api):
    given = {
        "to": "+1 (202) 555-0123",
        "content": "grüße 😀",
        "device_id": "phone-1",
        "reference": "r-1",
        "send_at": "2100-01-01T12:00:00+02:00",
        "expires_at": "2100-01-02T12:00:00Z",
        "priority": 9,
        "metadata": {"patient": {"id": 4711, "tags": ["a", None]}},
    }
    shown = api.post("/messages", given).json
    assert shown["to"] == NUMBER
    assert shown["send_at"] == "2100-01-01T10:00:00.000Z"
    assert shown["expires_at"] == "2100-01-02T12:00:00.000Z"
    assert shown["encoding"] == "ucs2"
    for name in ("content", "device_id", "reference", "priority", "metadata"):
        assert shown[name] == given[name]


def test_null_counts_as_left_out(api: Api):
    optional = ("device_id", "reference", "send_at", "expires_at", "ttl", "priority", "metadata")
    answer = api.post("/messages", {**DRAFT, **dict.fromkeys(optional)})
    assert answer.status_code == 202
    assert answer.json["priority"] == 4


def test_a_reference_used_before_gives_that_message_as_it_stands(api: Api):
    first = api.post("/messages", {**DRAFT, "reference": "r"})
    api.poll()
    again = api.post("/messages", {**DRAFT, "reference": "r"})
    assert again.status_code == 200
    assert again.json["id"] == first.json["id"]
    assert again.json["status"] == "dispatched"


def test_a_repeat_is_answered_also_when_its_time_has_passed(api: Api):
    draft = {**DRAFT, "reference": "r", "device_id": "phone-1"}
    first = api.post("/messages", draft)
    api.call("DELETE", "/devices/phone-1", api.operator)
    again = api.post("/messages", draft)
    assert (again.status_code, again.json["id"]) == (200, first.json["id"])


def test_a_reference_used_before_for_another_body_is_a_conflict(api: Api):
    api.send(reference="r")
    answer = api.post("/messages", {**DRAFT, "reference": "r", "content": "other"})
    assert answer.status_code == 409
    assert answer.json["code"] == "reference_used"


def test_references_of_two_crms_have_nothing_to_do_with_each_other(api: Api):
    _, key = api.world.add_crm("other")
    first = api.send(reference="r")
    assert api.send(api.world.as_crm(key), reference="r", content="other") != first


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": None}, "to"),
        ({"to": "hello"}, "to"),
        ({"to": 4915112345678}, "to"),
        ({"content": ""}, "content"),
        ({"content": "x" * 1601}, "content"),
        ({"content": "😀" * 801}, "content"),
        ({"content": "a\0b"}, "content"),
        ({"content": "\ud83d"}, "content"),
        ({"device_id": "phone-2"}, "device_id"),
        ({"priority": 10}, "priority"),
        ({"priority": "4"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 10**40}, "priority"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": 10**40}, "ttl"),
        ({"send_at": "2026-03-01T12:00:00"}, "send_at"),
        ({"send_at": "9999-12-31T23:59:59-14:00"}, "send_at"),
        ({"send_at": "2026-02-30T12:00:00Z"}, "send_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2100-01-01T00:00:00Z", "ttl": 60}, "ttl"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"x": "y" * 9000}}, "metadata"),
        ({"metadata": {"a": {"b": "\0"}}}, "metadata"),
        ({"reference": ""}, "reference"),
        ({"refrence": "r"}, "refrence"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(api: Api, change, field):
    answer = api.post("/messages", {**DRAFT, **change})
    assert answer.status_code == 422, answer.text
    assert list(answer.json["details"]) == [field]
    assert answer.json["message"].startswith(field)


def test_1600_units_are_taken(api: Api):
    assert api.post("/messages", {**DRAFT, "content": "😀" * 800}).status_code == 202


def test_a_strict_crm_refuses_what_is_no_international_number(api: Api):
    path = f"/crms/{api.world.crm_id}"
    assert api.post("/messages", {**DRAFT, "to": "12345"}).status_code == 202
    changed = api.call("PATCH", path, api.operator, json={"strict_numbers": True})
    assert changed.json["strict_numbers"] is True
    answer = api.post("/messages", {**DRAFT, "to": "12345"})
    assert (answer.status_code, list(answer.json["details"])) == (422, ["to"])


def test_a_batch_is_queued_in_its_order(api: Api):
    drafts = [{**DRAFT, "content": f"number {number}"} for number in range(1000)]
    answer = api.post("/messages/batch", {"messages": drafts})
    assert answer.status_code == 202
    assert [shown["content"] for shown in answer.json["data"]] == [
        draft["content"] for draft in drafts
    ]


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_1_to_1000_messages(api: Api, count):
    answer = api.post("/messages/batch", {"messages": [DRAFT] * count})
    assert (answer.status_code, list(answer.json["details"])) == (422, ["messages"])


@pytest.mark.parametrize("bad", [{**DRAFT, "to": "hello"}, {"to": NUMBER}, {**DRAFT, "x": 1}])
def test_one_bad_row_refuses_the_batch_and_is_named_by_its_number(api: Api, bad):
    answer = api.post("/messages/batch", {"messages": [DRAFT, DRAFT, bad]})
    assert answer.status_code == 422
    assert list(answer.json["details"]["messages"]) == ["2"]
    assert api.get("/messages").json["data"] == []


def test_a_known_reference_in_a_batch_is_returned_in_place(api: Api):
    known = api.send(reference="r")
    answer = api.post("/messages/batch", {"messages": [DRAFT, {**DRAFT, "reference": "r"}, DRAFT]})
    assert answer.status_code == 202
    assert answer.json["data"][1]["id"] == known
    assert len(api.get("/messages").json["data"]) == 3


def test_a_batch_with_a_reference_used_otherwise_queues_nothing(api: Api):
    api.send(reference="r")
    other = {**DRAFT, "reference": "r", "content": "other"}
    answer = api.post("/messages/batch", {"messages": [DRAFT, other]})
    assert (answer.status_code, answer.json["details"]) == (409, {"rows": [1]})
    assert len(api.get("/messages").json["data"]) == 1


def test_a_preview_says_what_would_be_and_stores_nothing(api: Api):
    answer = api.post("/messages/preview", {"to": "+1 202 555 0123", "content": "x" * 161})
    assert answer.status_code == 200
    assert answer.json["to"] == NUMBER
    assert (answer.json["encoding"], answer.json["segments"]) == ("gsm7", 2)
    assert answer.json["devices"] == [{"device_id": "phone-1", "online": False}]
    assert api.get("/messages").json["data"] == []


def test_a_preview_refuses_what_sending_would_refuse(api: Api):
    answer = api.post("/messages/preview", {**DRAFT, "to": "hello"})
    assert (answer.status_code, list(answer.json["details"])) == (422, ["to"])


def test_a_disabled_device_is_not_among_those_that_may_send(api: Api):
    api.set_device(enabled=False)
    assert api.post("/messages/preview", DRAFT).json["devices"] == []


def test_a_queued_message_can_be_cancelled_once(api: Api):
    message_id = api.send()
    answer = api.call("DELETE", f"/messages/{message_id}")
    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    assert api.call("DELETE", f"/messages/{message_id}").status_code == 409
    assert api.poll() == []


def test_a_message_a_phone_has_cannot_be_cancelled(api: Api):
    message_id = api.send()
    api.poll()
    answer = api.call("DELETE", f"/messages/{message_id}")
    assert (answer.status_code, answer.json["details"]) == (409, {"status": "dispatched"})


def _failed(api: Api, reason: str = "no-service") -> tuple[str, str]:
    message_id = api.send()
    (handed,) = api.poll()
    update = {"id": handed["id"], "status": "FAILED", "reason": reason}
    api.poll(updates=[update])
    return message_id, handed["id"]


def test_a_failed_message_can_be_sent_again_as_another_dispatch(api: Api):
    message_id, dispatch_id = _failed(api)
    answer = api.post(f"/messages/{message_id}/resend")
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    (handed,) = api.poll()
    assert handed["id"] != dispatch_id


def test_only_what_has_ended_badly_can_be_sent_again(api: Api):
    message_id = api.send()
    assert api.post(f"/messages/{message_id}/resend", {}).status_code == 409


def test_what_may_have_been_sent_is_only_sent_again_on_request(api: Api):
    message_id, _ = _failed(api)
    with api.world.database.transaction() as session:
        session.get_one(Message, message_id).reason_class = "unconfirmed"
    answer = api.post(f"/messages/{message_id}/resend")
    assert (answer.status_code, answer.json["code"]) == (409, "may_duplicate")
    assert api.post(f"/messages/{message_id}/resend", {"may_duplicate": "yes"}).status_code == 422
    assert api.post(f"/messages/{message_id}/resend", {"may_duplicate": True}).status_code == 202


def test_many_at_once_get_a_message_of_their_own_each(api: Api):
    def send(number: int) -> tuple[str, str]:
        content = f"hello {number}"
        sent = api.post("/messages", {**DRAFT, "content": content})
        return sent.json["id"], content

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(send, range(40)))
    with api.world.database.reading() as session:
        found = session.execute(sa.select(Message.id, Message.content)).all()
    assert sorted(sent) == sorted(tuple(row) for row in found)
    for message_id, content in sent[::8]:
        shown = api.get(f"/messages/{message_id}").json
        assert shown["content"] == content
        assert [entry["status"] for entry in shown["history"]] == ["queued"]


def test_a_plain_message_is_checked_like_any_other(api: Api):
    faults = ({"device_id": "nobody"}, {"content": ""}, {"to": "you"}, {"priority": 10})
    for fault in faults:
        plain = api.post("/messages", {**DRAFT, **fault})
        named = api.post("/messages", {**DRAFT, **fault, "reference": "r"})
        assert (plain.status_code, plain.data) == (422, named.data)
    assert api.post("/messages", {**DRAFT, "device_id": "phone-1"}).json["device_id"] == "phone-1"


def test_a_bad_idempotency_key_is_refused_without_a_reference_too(api: Api):
    answer = api.post("/messages", DRAFT, {**api.crm, "Idempotency-Key": ""})
    assert (answer.status_code, answer.json["code"]) == (400, "bad_idempotency_key")
