"""GET /api/v1/events, the feed that never skips, and GET /api/v1/stats."""

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.events import recording
from smsgw.core.messages import endings, queueing
from smsgw.store.models import Crm, Delivery, Event, Message

from .conftest import Api


def _poll(api: Api, after: str | None = None, **query):
    answer = api.get("/events", **({} if after is None else {"after": after}), **query)
    assert answer.status_code == 200, answer.text
    return answer.json["data"], answer.json["next_cursor"]


def test_an_empty_feed_has_no_cursor_and_can_be_polled_on(api: Api):
    assert _poll(api) == ([], None)
    assert _poll(api, "") == ([], None)


def test_events_come_in_their_order_with_the_message_as_it_was(api: Api):
    message_id = api.send()
    (handed,) = api.poll()
    api.poll(updates=[{"id": handed["id"], "status": "SENT"}])
    found, _ = _poll(api)
    assert [event["type"] for event in found] == ["message.dispatched", "message.sent"]
    assert list(found[0]) == ["id", "type", "timestamp", "data"]
    assert [event["data"]["status"] for event in found] == ["dispatched", "sent"]
    assert {event["data"]["id"] for event in found} == {message_id}


def test_the_cursor_goes_on_where_it_was_and_stays_when_nothing_is_new(api: Api):
    for number in range(5):
        api.receive(f"in-{number}", content=str(number))
    seen, cursor = [], None
    for _ in range(3):
        found, cursor = _poll(api, cursor, limit=2)
        seen += [event["data"]["content"] for event in found]
    assert seen == ["0", "1", "2", "3", "4"]
    assert _poll(api, cursor) == ([], cursor)
    api.receive("later", content="later")
    found, _ = _poll(api, cursor)
    assert [event["data"]["content"] for event in found] == ["later"]


def test_another_crms_events_are_not_in_it(api: Api):
    _, key = api.world.add_crm("other", [])
    api.receive("a")
    other = api.world.as_crm(key)
    assert api.get("/events", other).json["data"] == []
    _, cursor = _poll(api)
    assert api.get("/events", other, after=cursor).status_code == 404


@pytest.mark.parametrize(
    "query", [{"after": "x"}, {"after": "evt_1"}, {"limit": 0}, {"limit": 1001}]
)
def test_a_wrong_place_to_go_on_is_refused(api: Api, query):
    assert api.get("/events", **query).status_code == 422


def test_an_event_that_never_was_is_not_found(api: Api):
    api.receive("a")
    assert api.get("/events", after="evt_" + "f" * 32).status_code == 404


def test_a_feed_emptied_by_retention_goes_on_after_its_last_event(api: Api):
    api.receive("a")
    _, cursor = _poll(api)
    with api.world.database.transaction() as session:
        session.execute(sa.delete(Delivery))
        session.execute(sa.delete(Event))
    assert _poll(api, cursor) == ([], cursor)
    assert api.get("/events", after="evt_" + "f" * 32).status_code == 404, "one of the future"
    api.receive("b", content="later")
    found, _ = _poll(api, cursor)
    assert [event["data"]["content"] for event in found] == ["later"]


def test_an_event_of_a_transaction_that_ends_later_is_not_skipped(api: Api):
    """On PostgreSQL a later event can be there first; SQLite writes one after another."""
    database = api.world.database
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    first, second = api.send(), api.send()
    with database.transaction() as slow:
        _cancel(slow, api, first)
        slow.flush()
        with database.transaction() as fast:
            _cancel(fast, api, second)
        early, cursor = _poll(api)
    late, _ = _poll(api, cursor)
    assert [event["data"]["id"] for event in early + late] == [first, second]


def _cancel(session, api: Api, message_id: str) -> None:
    crm = session.get_one(Crm, api.world.crm_id)
    endings.cancel(session, queueing.get(session, crm, message_id), clock.now())


def test_the_feed_gives_at_most_what_was_asked_for(api: Api):
    with api.world.database.transaction() as session:
        happening = recording.NewEvent("message.received", api.world.crm_id, {"n": 1})
        recording.record(session, [happening] * 150, clock.now())
    assert len(_poll(api)[0]) == 100
    assert len(_poll(api, limit=1000)[0]) == 150


def _stats(api: Api, headers=None, **query):
    answer = api.get("/stats", headers, **query)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_the_figures_count_messages_by_status_and_by_device(api: Api):
    api.world.add_device("phone-2")
    api.receive("a")
    api.send()
    api.poll()
    api.send()
    api.send(device_id="phone-2")
    shown = _stats(api)
    counts = {status: count for status, count in shown["messages"].items() if count}
    assert counts == {"queued": 2, "dispatched": 1, "received": 1}
    assert shown["queue"]["queued_count"] == shown["queue"]["due_count"] == 2
    one, two = shown["devices"]
    assert (one["device_id"], one["in_flight_count"], one["queued_count"]) == ("phone-1", 1, 0)
    assert (one["messages"]["dispatched"], one["messages"]["received"]) == (1, 1)
    assert (two["device_id"], two["queued_count"], two["messages"]["queued"]) == ("phone-2", 1, 1)


def test_the_age_of_the_queue_is_that_of_what_has_been_due_longest(api: Api):
    api.send(send_at="2100-01-01T00:00:00Z")
    assert _stats(api)["queue"]["oldest_due_seconds"] == 0
    message_id = api.send()
    with api.world.database.transaction() as session:
        due_at = clock.from_epoch_ms(clock.now().timestamp() * 1000 - 90_000)
        session.execute(sa.update(Message).where(Message.id == message_id).values(due_at=due_at))
    queue = _stats(api)["queue"]
    assert (queue["queued_count"], queue["due_count"]) == (2, 1)
    assert 90 <= queue["oldest_due_seconds"] < 3600


def test_a_crm_sees_its_own_figures_and_an_operator_all(api: Api):
    _, key = api.world.add_crm("other", [])
    other = api.world.as_crm(key)
    api.receive("a")
    api.send()
    api.send(other)
    assert _stats(api)["messages"]["queued"] == 1
    assert _stats(api, other)["messages"]["received"] == 0
    assert _stats(api, other)["devices"] == []
    everything = _stats(api, api.operator)["messages"]
    assert (everything["queued"], everything["received"]) == (2, 1)


def test_the_figures_begin_when_asked(api: Api):
    api.send()
    shown = _stats(api, since="2900-01-01T00:00:00Z")
    assert shown["messages"]["queued"] == 0
    assert shown["queue"]["queued_count"] == 1
    assert shown["since"] == "2900-01-01T00:00:00.000Z"
