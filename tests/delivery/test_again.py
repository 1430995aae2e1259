"""Sending again on purpose: one delivery, or all that was lost in a time."""

from datetime import timedelta

import pytest

from smsgw.core.webhooks import deliveries, endpoints
from smsgw.errors import Conflict, Invalid, NotFound
from tests.conftest import NOW
from tests.delivery.receiver import Receiver

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def replay(postman, delivery, now=NOW):
    with postman.database.transaction() as session:
        mine = deliveries.get(session, postman.crm_id, delivery.id)
        deliveries.replay(session, mine, now)


def recover(postman, endpoint_id, since=NOW - HOUR, until=NOW + HOUR, now=NOW):
    with postman.database.transaction() as session:
        endpoint = endpoints.get(session, postman.crm_id, endpoint_id)
        return deliveries.recover(session, endpoint, since, until, now)


def switch(postman, endpoint_id, enabled):
    with postman.database.transaction() as session:
        endpoint = endpoints.get(session, postman.crm_id, endpoint_id)
        endpoints.update(session, endpoint, {"enabled": enabled}, NOW)


def test_a_replay_has_the_same_id_a_fresh_timestamp_and_a_manual_attempt(postman):
    with Receiver() as receiver:
        endpoint_id = postman.add_endpoint(receiver.url)
        (event_id,) = postman.tell()
        postman.round(NOW)
        replay(postman, postman.delivery(endpoint_id), NOW + HOUR)
        postman.round(NOW + HOUR)
    assert receiver.event_ids == [event_id, event_id]
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert stamps[1] - stamps[0] == 3600
    attempts = postman.attempts(postman.delivery(endpoint_id))
    assert [attempt["manual"] for attempt in attempts] == [False, True]


def test_a_replay_that_fails_has_no_second_attempt_and_what_was_delivered_stays_delivered(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    (claimed,) = postman.take()
    postman.settle(claimed, status_code=200)
    replay(postman, postman.delivery(endpoint_id), NOW + HOUR)
    assert postman.fail_all(NOW + HOUR) == 1
    delivery = postman.delivery(endpoint_id)
    assert (delivery.status, delivery.settled_at) == ("delivered", NOW)
    assert delivery.next_attempt_at is None


def test_a_replay_of_a_discarded_delivery_is_one_attempt(postman):
    endpoint_id = postman.add_endpoint()
    with postman.database.transaction() as session:
        deliveries.ping(session, endpoints.get(session, postman.crm_id, endpoint_id), NOW)
    postman.fail_all()
    replay(postman, postman.delivery(endpoint_id), NOW + HOUR)
    assert postman.delivery(endpoint_id).status == "pending"
    postman.fail_all(NOW + HOUR)
    delivery = postman.delivery(endpoint_id)
    assert (delivery.status, delivery.settled_at) == ("discarded", NOW + HOUR)


def test_a_replay_of_one_that_waits_is_made_at_once_and_keeps_its_schedule(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    postman.fail_all()
    replay(postman, postman.delivery(endpoint_id), NOW + SECOND)
    assert postman.fail_all(NOW + SECOND) == 1
    delivery = postman.delivery(endpoint_id)
    assert (delivery.status, delivery.next_attempt_at) == ("pending", NOW + 31 * SECOND)
    assert [attempt["manual"] for attempt in postman.attempts(delivery)] == [False, True]


def test_what_is_on_its_way_cannot_be_replayed(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    (claimed,) = postman.take()
    with pytest.raises(Conflict, match="on its way"):
        replay(postman, postman.delivery(endpoint_id))
    assert postman.settle(claimed, status_code=200)


def test_nothing_is_replayed_to_a_disabled_endpoint(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    switch(postman, endpoint_id, False)
    with pytest.raises(Conflict, match="enable it first"):
        replay(postman, postman.delivery(endpoint_id))


def test_another_crms_delivery_is_not_found(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    with postman.database.reading() as session, pytest.raises(NotFound):
        deliveries.get(session, "crm_other", postman.delivery(endpoint_id).id)


def test_recover_brings_what_happened_while_the_endpoint_was_disabled(postman):
    with Receiver() as receiver:
        endpoint_id = postman.add_endpoint(receiver.url)
        switch(postman, endpoint_id, False)
        lost = postman.tell(3)
        assert postman.deliveries(endpoint_id) == []
        switch(postman, endpoint_id, True)
        assert recover(postman, endpoint_id) == {
            "created_count": 3,
            "requeued_count": 0,
            "has_more": False,
        }
        postman.round()
    assert sorted(receiver.event_ids) == sorted(lost)
    first = postman.deliveries(endpoint_id)[0]
    assert [attempt["manual"] for attempt in postman.attempts(first)] == [True]


def test_recover_sends_discarded_ones_again_with_a_whole_schedule(postman):
    postman.rule = postman.rule.__class__((0,), postman.rule.chance)
    endpoint_id = postman.add_endpoint()
    (event_id,) = postman.tell()
    postman.fail_all()
    assert postman.delivery(endpoint_id).status == "discarded"
    postman.rule = postman.rule.__class__((0, 5, 30), postman.rule.chance)
    later = NOW + SECOND
    assert recover(postman, endpoint_id, now=later)["requeued_count"] == 1
    (claimed,) = postman.take(later)
    assert claimed.event_id == event_id
    postman.settle(claimed, later, status_code=500)
    delivery = postman.delivery(endpoint_id)
    assert (delivery.status, delivery.next_attempt_at) == ("pending", later + 5 * SECOND)
    assert [attempt["manual"] for attempt in postman.attempts(delivery)] == [False, True]


def test_recover_leaves_alone_what_was_delivered_or_waits_or_was_not_wanted(postman):
    endpoint_id = postman.add_endpoint(event_types=["message.sent"], device_ids=["phone-1"])
    postman.tell(2, "message.sent")
    (claimed,) = postman.take(threads=1)
    postman.settle(claimed, status_code=200)
    postman.tell(1, "message.received")
    postman.tell(1, "message.sent", "phone-2")
    other = postman.add_endpoint()
    with postman.database.transaction() as session:
        deliveries.ping(session, endpoints.get(session, postman.crm_id, other), NOW)
    answer = recover(postman, endpoint_id)
    assert (answer["created_count"], answer["requeued_count"]) == (0, 0)
    # The newer endpoint gets the four messages' events, not its own ping again.
    assert recover(postman, other)["created_count"] == 4


def test_recover_takes_only_its_time(postman):
    endpoint_id = postman.add_endpoint(enabled=False)
    for minutes in range(5):
        postman.tell(now=NOW + timedelta(minutes=minutes))
    switch(postman, endpoint_id, True)
    since, until = NOW + timedelta(minutes=1), NOW + timedelta(minutes=3)
    assert recover(postman, endpoint_id, since, until)["created_count"] == 2


def test_recover_does_so_many_at_once_and_says_that_there_is_more(postman, monkeypatch):
    monkeypatch.setattr(deliveries, "MOST_RECOVERED", 4)
    monkeypatch.setattr(deliveries, "_AT_ONCE", 3)
    endpoint_id = postman.add_endpoint(enabled=False)
    ids = postman.tell(6)
    switch(postman, endpoint_id, True)
    first = recover(postman, endpoint_id)
    assert (first["created_count"], first["has_more"]) == (4, True)
    assert sorted(row.event_id for row in postman.deliveries(endpoint_id)) == sorted(ids[:4])
    second = recover(postman, endpoint_id)
    assert (second["created_count"], second["has_more"]) == (2, False)


def test_recover_needs_a_time_that_is_one_and_an_enabled_endpoint(postman):
    endpoint_id = postman.add_endpoint()
    with pytest.raises(Invalid, match="before 'until'"):
        recover(postman, endpoint_id, NOW, NOW)
    switch(postman, endpoint_id, False)
    with pytest.raises(Conflict, match="enable it first"):
        recover(postman, endpoint_id)
