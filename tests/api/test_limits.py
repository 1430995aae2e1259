"""What one CRM may take of the server: its queue, its requests, its webhook endpoints, its sockets."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from smsgw.core.accounts import crms, rate_limits
from smsgw.core.messages import endings, queue_limits, queueing, resending
from smsgw.core.messages.drafts import Draft
from smsgw.errors import Invalid, TooMany
from smsgw.http.context import EXTENSION
from smsgw.store.models import Crm, Message

from ..conftest import NOW, World

MESSAGE = {"to": "+12025550123", "content": "hi"}
DRAFT = Draft(to="+12025550123", content="hi")


@pytest.fixture
def clocked() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def _set(world: World, **changes: Any) -> None:
    """Changes settings of the running app."""
    services = world.app.extensions[EXTENSION]
    services.settings = world.settings = dataclasses.replace(world.settings, **changes)


def _send(world: World, **more: Any) -> Any:
    return world.client.post("/api/v1/messages", json=MESSAGE | more, headers=world.as_crm())


def _queued(world: World) -> int:
    with world.database.reading() as session:
        queued = sa.select(sa.func.count()).where(Message.status == "queued")
        return session.scalars(queued).one()


def _cancel_all(world: World) -> None:
    with world.database.transaction() as session:
        endings.cancel_queued(session, crms.get(session, "clinic"), NOW)


def _import(world: World, count: int) -> None:
    with world.database.transaction() as session:
        crm = crms.get(session, "clinic")
        queueing.queue_all(session, crm, world.settings, [DRAFT] * count, NOW)


def _resend(world: World, message_id: str) -> None:
    with world.database.transaction() as session:
        message = session.get_one(Message, message_id)
        resending.queue(session, message, world.settings, NOW)


def test_a_full_queue_refuses_in_words_with_the_time_to_come_back(world: World):
    _set(world, queue_limit=2)
    assert [_send(world).status_code for _ in range(3)] == [202, 202, 429]
    answer = _send(world)
    assert (answer.json["code"], answer.headers["Retry-After"]) == ("queue_full", "30")
    assert answer.json["message"] == (
        "the queue of this CRM is full: 2 of at most 2 messages wait in it"
    )
    _cancel_all(world)
    assert _send(world).status_code == 202


def test_every_way_in_has_the_same_queue_limit(world: World):
    _set(world, queue_limit=1)
    assert _send(world).status_code == 202
    calls = [
        ("/api/v1/messages", MESSAGE),
        ("/api/v1/messages/batch", {"messages": [MESSAGE]}),
        ("/api/v1/sms/send", {"to": MESSAGE["to"], "message": "hi"}),
        ("/sendMessage", {"receiver": MESSAGE["to"], "content": "hi", "deviceId": "phone-1"}),
    ]
    for path, body in calls:
        answer = world.client.post(path, json=body, headers=world.as_crm())
        assert (path, answer.status_code) == (path, 429)
        assert answer.headers["Retry-After"] == "30"
    with pytest.raises(TooMany, match="the queue of this CRM is full"):
        _import(world, 1)


def test_a_batch_goes_in_whole_or_not_at_all(world: World):
    _set(world, queue_limit=5)
    batch = {"messages": [MESSAGE] * 3}
    codes = [
        world.client.post("/api/v1/messages/batch", json=batch, headers=world.as_crm()).status_code
        for _ in range(2)
    ]
    assert (codes, _queued(world)) == ([202, 429], 3)
    larger = world.client.post(
        "/api/v1/messages/batch", json={"messages": [MESSAGE] * 6}, headers=world.as_crm()
    )
    assert (larger.status_code, larger.json["code"]) == (422, "queue_limit")


def test_a_known_reference_gets_its_message_however_full_queue_and_rate_are(world: World, clocked):
    _set(world, queue_limit=1, requests_per_minute=2)
    first = _send(world, reference="a")
    assert _send(world, reference="b").json["code"] == "queue_full"
    for _ in range(3):
        again = _send(world, reference="a")
        assert (again.status_code, again.json["id"]) == (200, first.json["id"])
    batch = {"messages": [MESSAGE | {"reference": "a"}]}
    answer = world.client.post("/api/v1/messages/batch", json=batch, headers=world.as_crm())
    assert answer.json["data"][0]["id"] == first.json["id"]
    assert _send(world, reference="c").json["code"] == "rate_limited"


def test_a_device_has_a_queue_limit_of_its_own(world: World):
    _set(world, device_queue_limit=2)
    world.add_device("phone-2")
    codes = [_send(world, device_id="phone-1").status_code for _ in range(3)]
    assert codes == [202, 202, 429]
    assert "for the device 'phone-1' is full" in _send(world, device_id="phone-1").json["message"]
    assert _send(world, device_id="phone-2").status_code == 202
    assert _send(world).status_code == 202


@pytest.mark.parametrize("way", ["one", "batch"])
def test_requests_at_the_same_time_never_exceed_the_queue_limit(world: World, way: str):
    _set(world, queue_limit=20, device_queue_limit=15)

    def send(number: int) -> int:
        row = MESSAGE | ({"device_id": "phone-1"} if number % 2 else {})
        if way == "one":
            return int(_send(world, **row).status_code)
        batch = {"messages": [row] * 3}
        path = "/api/v1/messages/batch"
        return int(world.client.post(path, json=batch, headers=world.as_crm()).status_code)

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(send, range(40)))
    assert set(codes) == {202, 429}
    assert _queued(world) == (20 if way == "one" else 18)


def test_room_that_the_row_does_not_know_of_is_counted_before_anything_is_refused(
    world: World, clocked
):
    _set(world, queue_limit=3)
    for _ in range(4):
        assert [_send(world).status_code for _ in range(3)] == [202, 202, 202]
        _cancel_all(world)
    # Without a limit nothing is noted: with one again, the queue is counted anew.
    _set(world, queue_limit=None)
    assert [_send(world).status_code for _ in range(5)] == [202] * 5
    clocked.shift(timedelta(minutes=2))
    _set(world, queue_limit=3)
    assert _send(world).status_code == 429


def test_what_is_sent_again_needs_room_too(world: World):
    _set(world, queue_limit=1)
    message_id = _send(world).json["id"]
    with world.database.transaction() as session:
        session.get_one(Message, message_id).status = "failed"
    assert _send(world).status_code == 202
    with pytest.raises(TooMany):
        _resend(world, message_id)


def test_a_crm_has_its_own_limits_from_an_operator(world: World, clocked):
    _set(world, operator_key="op_live_" + "5" * 64, queue_limit=1, requests_per_minute=1)
    operator = {"Authorization": f"Bearer {world.settings.operator_key}"}
    wider = {"queue_limit": 3, "requests_per_minute": 4}
    answer = world.client.patch("/api/v1/crms/clinic", json=wider, headers=operator)
    assert wider.items() <= answer.json.items()
    codes = [_send(world).status_code for _ in range(5)]
    assert codes == [202, 202, 202, 429, 429]
    for wrong in (0, -1, "5", 1.5, 10**12):
        body = {"queue_limit": wrong}
        answer = world.client.patch("/api/v1/crms/clinic", json=body, headers=operator)
        assert answer.status_code == 422
    assert not _narrowed(world, operator)


def _narrowed(world: World, operator: dict[str, str]) -> bool:
    """Whether the CRM has a limit of its own after it was taken back."""
    body = {"queue_limit": None, "requests_per_minute": None}
    world.client.patch("/api/v1/crms/clinic", json=body, headers=operator)
    with world.database.reading() as session:
        crm = session.get_one(Crm, world.crm_id)
        return crm.queue_limit is not None or crm.requests_per_minute is not None


def test_a_rate_is_told_and_refused_before_the_body_is_read(world: World, clocked):
    _set(world, requests_per_minute=3)
    left = [world.client.get("/api/v1/messages", headers=world.as_crm()).headers for _ in range(3)]
    assert [headers["X-RateLimit-Remaining"] for headers in left] == ["2", "1", "0"]
    path, body = "/api/v1/messages/preview", b"not json"
    answer = world.client.post(path, data=body, headers=world.as_crm())
    assert (answer.status_code, answer.json["code"]) == (429, "rate_limited")
    assert answer.json["message"] == "at most 3 requests a minute"
    assert (answer.headers["Retry-After"], answer.headers["X-RateLimit-Limit"]) == ("20", "3")
    _, other = world.add_crm("other")
    assert world.client.get("/api/v1/messages", headers=world.as_crm(other)).status_code == 200
    clocked.shift(timedelta(seconds=20))
    assert world.client.get("/api/v1/messages", headers=world.as_crm()).status_code == 200


def test_requests_at_the_same_time_never_exceed_the_rate(world: World, clocked):
    _set(world, requests_per_minute=10)
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: _send(world).status_code, range(30)))
    assert (codes.count(202), codes.count(429)) == (10, 20)


def test_without_limits_nothing_is_counted(world: World):
    assert _send(world).status_code == 202
    with world.database.reading() as session:
        crm = crms.get(session, "clinic")
        assert not queue_limits.apply_to(crm, world.settings, "phone-1")
        assert session.scalar(sa.select(rate_limits.RateLimit.key)) is None
        assert session.scalar(sa.select(queue_limits.QueueRoom.key)) is None


def test_a_crm_has_a_bounded_number_of_webhook_endpoints(world: World):
    def add() -> Any:
        body = {"url": "https://1.1.1.1/sms"}
        return world.client.post("/api/v1/webhooks", json=body, headers=world.as_crm())

    endpoint_ids = [add().json["id"] for _ in range(50)]
    answer = add()
    assert (answer.status_code, answer.json["code"]) == (409, "too_many_webhooks")
    assert "50 webhook endpoints" in answer.json["message"]
    # Fewer are allowed later: those that are there stay and can be changed.
    _set(world, webhooks_per_crm=10)
    path = f"/api/v1/webhooks/{endpoint_ids[0]}"
    body = {"enabled": False}
    assert world.client.patch(path, json=body, headers=world.as_crm()).status_code == 200
    assert world.client.delete(path, headers=world.as_crm()).status_code == 204
    assert add().status_code == 409
    _set(world, webhooks_per_crm=50)
    assert add().status_code == 201


def test_endpoints_added_at_the_same_time_are_no_more_than_allowed(world: World):
    _set(world, webhooks_per_crm=5)
    body = {"url": "https://1.1.1.1/sms"}

    def add(_number: int) -> int:
        answer = world.client.post("/api/v1/webhooks", json=body, headers=world.as_crm())
        return int(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(add, range(16)))
    assert (codes.count(201), codes.count(409)) == (5, 11)


def test_an_import_has_the_limits_too(world: World):
    _set(world, queue_limit=3)
    with pytest.raises(Invalid, match="4 messages do not fit"):
        _import(world, 4)
