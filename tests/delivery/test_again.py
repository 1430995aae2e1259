"""Sending again on purpose: one delivery, or all that was lost in a time."""

from datetime import timedelta

import pytest

from smsgw.core.webhooks import deliveries, endpoints
from smsgw.errors import Conflict, Invalid, NotFound
from tests.conftest import NOW
from tests.delivery.receiver import Receiver

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def replay(delivery_world, delivery, now=NOW):
    with delivery_world.database.transaction() as session:
        mine = deliveries.get(session, delivery_world.crm_id, delivery.id)
        deliveries.replay(session, mine, now)


def recover(delivery_world, endpoint_id, since=NOW - HOUR, until=NOW + HOUR, now=NOW):
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        return deliveries.recover(session, endpoint, since, until, now)


def switch(delivery_world, endpoint_id, enabled):
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        endpoints.update(session, endpoint, {"enabled": enabled}, NOW)


def test_a_replay_has_the_same_id_a_fresh_timestamp_and_a_manual_attempt(delivery_world):
    with Receiver() as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        (event_id,) = delivery_world.record()
        delivery_world.round(NOW)
        replay(delivery_world, delivery_world.delivery(endpoint_id), NOW + HOUR)
        delivery_world.round(NOW + HOUR)
    assert receiver.event_ids == [event_id, event_id]
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert stamps[1] - stamps[0] == 3600
    attempts = delivery_world.attempts(delivery_world.delivery(endpoint_id))
    assert [attempt["manual"] for attempt in attempts] == [False, True]


def test_a_replay_that_fails_has_no_second_attempt_and_what_was_delivered_stays_delivered(
    delivery_world,
):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    (claimed,) = delivery_world.take()
    delivery_world.settle(claimed, status_code=200)
    replay(delivery_world, delivery_world.delivery(endpoint_id), NOW + HOUR)
    assert delivery_world.fail_all(NOW + HOUR) == 1
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.settled_at) == ("delivered", NOW)
    assert delivery.next_attempt_at is None


def test_a_replay_of_a_discarded_delivery_is_one_attempt(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        deliveries.ping(session, endpoints.get(session, delivery_world.crm_id, endpoint_id), NOW)
    delivery_world.fail_all()
    replay(delivery_world, delivery_world.delivery(endpoint_id), NOW + HOUR)
    assert delivery_world.delivery(endpoint_id).status == "pending"
    delivery_world.fail_all(NOW + HOUR)
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.settled_at) == ("discarded", NOW + HOUR)


def test_a_replay_of_one_that_waits_is_made_at_once_and_keeps_its_schedule(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    delivery_world.fail_all()
    replay(delivery_world, delivery_world.delivery(endpoint_id), NOW + SECOND)
    assert delivery_world.fail_all(NOW + SECOND) == 1
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.next_attempt_at) == ("pending", NOW + 31 * SECOND)
    assert [attempt["manual"] for attempt in delivery_world.attempts(delivery)] == [False, True]


def test_what_is_on_its_way_cannot_be_replayed(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    (claimed,) = delivery_world.take()
    with pytest.raises(Conflict, match="on its way"):
        replay(delivery_world, delivery_world.delivery(endpoint_id))
    assert delivery_world.settle(claimed, status_code=200)


def test_nothing_is_replayed_to_a_disabled_endpoint(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    switch(delivery_world, endpoint_id, False)
    with pytest.raises(Conflict, match="enable it first"):
        replay(delivery_world, delivery_world.delivery(endpoint_id))


def test_another_crms_delivery_is_not_found(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    with delivery_world.database.reading() as session, pytest.raises(NotFound):
        deliveries.get(session, "crm_other", delivery_world.delivery(endpoint_id).id)


def test_recover_brings_what_happened_while_the_endpoint_was_disabled(delivery_world):
    with Receiver() as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        switch(delivery_world, endpoint_id, False)
        lost = delivery_world.record(3)
        assert delivery_world.deliveries(endpoint_id) == []
        switch(delivery_world, endpoint_id, True)
        assert recover(delivery_world, endpoint_id) == {
            "created_count": 3,
            "requeued_count": 0,
            "has_more": False,
        }
        delivery_world.round()
    assert sorted(receiver.event_ids) == sorted(lost)
    first = delivery_world.deliveries(endpoint_id)[0]
    assert [attempt["manual"] for attempt in delivery_world.attempts(first)] == [True]


def test_recover_sends_discarded_ones_again_with_a_whole_schedule(delivery_world):
    delivery_world.rule = delivery_world.rule.__class__((0,), delivery_world.rule.chance)
    endpoint_id = delivery_world.add_endpoint()
    (event_id,) = delivery_world.record()
    delivery_world.fail_all()
    assert delivery_world.delivery(endpoint_id).status == "discarded"
    delivery_world.rule = delivery_world.rule.__class__((0, 5, 30), delivery_world.rule.chance)
    later = NOW + SECOND
    assert recover(delivery_world, endpoint_id, now=later)["requeued_count"] == 1
    (claimed,) = delivery_world.take(later)
    assert claimed.event_id == event_id
    delivery_world.settle(claimed, later, status_code=500)
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.next_attempt_at) == ("pending", later + 5 * SECOND)
    assert [attempt["manual"] for attempt in delivery_world.attempts(delivery)] == [False, True]


def test_recover_leaves_alone_what_was_delivered_or_waits_or_was_not_wanted(delivery_world):
    endpoint_id = delivery_world.add_endpoint(event_types=["message.sent"], device_ids=["phone-1"])
    delivery_world.record(2, "message.sent")
    (claimed,) = delivery_world.take(threads=1)
    delivery_world.settle(claimed, status_code=200)
    delivery_world.record(1, "message.received")
    delivery_world.record(1, "message.sent", "phone-2")
    other = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        deliveries.ping(session, endpoints.get(session, delivery_world.crm_id, other), NOW)
    answer = recover(delivery_world, endpoint_id)
    assert (answer["created_count"], answer["requeued_count"]) == (0, 0)
    # The newer endpoint gets the four messages' events, not its own ping again.
    assert recover(delivery_world, other)["created_count"] == 4


def test_recover_takes_only_its_time(delivery_world):
    endpoint_id = delivery_world.add_endpoint(enabled=False)
    for minutes in range(5):
        delivery_world.record(now=NOW + timedelta(minutes=minutes))
    switch(delivery_world, endpoint_id, True)
    since, until = NOW + timedelta(minutes=1), NOW + timedelta(minutes=3)
    assert recover(delivery_world, endpoint_id, since, until)["created_count"] == 2


def test_recover_does_so_many_at_once_and_says_that_there_is_more(delivery_world, monkeypatch):
    monkeypatch.setattr(deliveries, "MOST_RECOVERED", 4)
    monkeypatch.setattr(deliveries, "_AT_ONCE", 3)
    endpoint_id = delivery_world.add_endpoint(enabled=False)
    ids = delivery_world.record(6)
    switch(delivery_world, endpoint_id, True)
    first = recover(delivery_world, endpoint_id)
    assert (first["created_count"], first["has_more"]) == (4, True)
    assert sorted(row.event_id for row in delivery_world.deliveries(endpoint_id)) == sorted(ids[:4])
    second = recover(delivery_world, endpoint_id)
    assert (second["created_count"], second["has_more"]) == (2, False)


def test_recover_needs_a_time_that_is_one_and_an_enabled_endpoint(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    with pytest.raises(Invalid, match="before 'until'"):
        recover(delivery_world, endpoint_id, NOW, NOW)
    switch(delivery_world, endpoint_id, False)
    with pytest.raises(Conflict, match="enable it first"):
        recover(delivery_world, endpoint_id)
