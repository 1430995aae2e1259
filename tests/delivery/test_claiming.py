"""Who gets the threads, and that claiming costs the same however much waits."""

import sqlite3
import threading
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import ids
from smsgw.core.webhooks import claiming, due
from smsgw.core.webhooks.due import FreeThreads
from smsgw.store.models import Delivery, WebhookEndpoint
from tests.conftest import NOW
from tests.delivery.conftest import LEASE

SECOND = timedelta(seconds=1)


def by_endpoint(taken):
    return Counter(claimed.endpoint_id for claimed in taken)


def test_an_endpoint_has_at_most_four_requests_at_the_same_time(delivery_world):
    delivery_world.add_endpoint()
    delivery_world.record(10)
    first = delivery_world.take()
    assert len(first) == 4
    assert delivery_world.take() == []
    delivery_world.settle(first[0], status_code=200)
    assert len(delivery_world.take()) == 1


def test_the_least_loaded_endpoint_comes_first(delivery_world):
    busy = delivery_world.add_endpoint()
    delivery_world.record(10)
    assert by_endpoint(delivery_world.take(threads=3)) == {busy: 3}
    idle = delivery_world.add_endpoint()
    delivery_world.record(10)
    assert by_endpoint(delivery_world.take(threads=3)) == {idle: 3}


def test_free_threads_are_dealt_out_evenly(delivery_world):
    endpoints = [delivery_world.add_endpoint() for _ in range(3)]
    delivery_world.record(10)
    assert by_endpoint(delivery_world.take(threads=6)) == dict.fromkeys(endpoints, 2)


def test_a_worker_claims_ahead_for_an_endpoint_that_keeps_up_and_no_other_worker_serves(
    delivery_world,
):
    quick, shared, failing, idle = (delivery_world.add_endpoint() for _ in range(4))
    delivery_world.record(30)
    first = by_endpoint(delivery_world.take(threads=8))
    assert first == {quick: 2, shared: 2, failing: 2, idle: 2}
    with delivery_world.database.transaction() as session:
        session.get_one(WebhookEndpoint, failing).consecutive_failures = 1
        ahead = dict.fromkeys((quick, shared, failing), 20)
        # Another worker has those of `shared`.
        own = {quick: 2, failing: 2, idle: 2}
        free = FreeThreads(100, 4, own, ahead)
        taken = by_endpoint(claiming.take(session, free, NOW + LEASE, NOW))
    assert taken == {quick: 22, shared: 2, failing: 2, idle: 2}
    assert not claiming.is_due(delivery_world.database, FreeThreads(100, 4, {}, ahead), NOW)


def test_a_hanging_endpoint_does_not_hold_up_the_healthy_ones(delivery_world):
    """300 events for each of ten endpoints, one of which never answers: rounds are counted, not seconds."""
    hanging = delivery_world.add_endpoint()
    healthy = [delivery_world.add_endpoint() for _ in range(9)]
    delivery_world.record(300)
    stuck, rounds, done = [], 0, Counter()
    while sum(done.values()) < 9 * 300:
        taken = delivery_world.take(threads=32 - len(stuck))
        stuck += [claimed for claimed in taken if claimed.endpoint_id == hanging]
        answered = [claimed for claimed in taken if claimed.endpoint_id != hanging]
        for claimed in answered:
            delivery_world.settle(claimed, status_code=200)
        done += by_endpoint(answered)
        rounds += 1
    assert len(stuck) == 4
    assert done == dict.fromkeys(healthy, 300)
    # 28 threads are left to the healthy ones.
    assert rounds <= 9 * 300 / 28 + 5


def test_endpoints_that_time_out_get_a_quarter_of_the_threads(delivery_world):
    slow = [delivery_world.add_endpoint() for _ in range(4)]
    delivery_world.record()
    for claimed in delivery_world.take():
        delivery_world.settle(claimed, error="timeout")
    healthy = delivery_world.add_endpoint()
    delivery_world.record(10)
    taken = by_endpoint(delivery_world.take(threads=16, slow_threads=4))
    assert sum(taken[endpoint] for endpoint in slow) == 4
    assert taken[healthy] == 4
    assert by_endpoint(delivery_world.take(threads=8, slow_threads=0)) == {}


def test_when_slow_endpoints_have_their_share_the_others_are_still_found(delivery_world):
    for _ in range(5):
        delivery_world.add_endpoint()
    delivery_world.record()
    for claimed in delivery_world.take():
        delivery_world.settle(claimed, error="timeout")
    healthy = delivery_world.add_endpoint()
    delivery_world.record(1, now=NOW + SECOND)
    assert by_endpoint(delivery_world.take(NOW + SECOND, threads=2, slow_threads=0)) == {healthy: 1}


@pytest.mark.parametrize("change", ["disabled", "removed", "paused"])
def test_nothing_is_claimed_for_an_endpoint_that_is(delivery_world, change):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    values = {
        "disabled": {"enabled": False},
        "removed": {"removed_at": NOW},
        "paused": {"paused_until": NOW + SECOND},
    }[change]
    with delivery_world.database.transaction() as session:
        table = sa.table("webhook_endpoints", sa.column("id"), *map(sa.column, values))
        typed = {
            name: sa.bindparam(name, value, type_=Delivery.created_at.type)
            if name.endswith(("_at", "_until"))
            else value
            for name, value in values.items()
        }
        session.execute(sa.update(table).where(table.c.id == endpoint_id).values(typed))
    assert delivery_world.take() == []


def test_a_claim_lasts_for_its_lease_and_then_the_delivery_is_due_again(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    (first,) = delivery_world.take()
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.claim, delivery.next_attempt_at) == (first.claim, NOW + LEASE)
    assert delivery_world.take(NOW + LEASE - SECOND) == []
    (second,) = delivery_world.take(NOW + LEASE)
    assert second.delivery_id == first.delivery_id
    assert second.claim != first.claim


def test_many_claimers_at_once_never_take_the_same_delivery(delivery_world):
    for _ in range(5):
        delivery_world.add_endpoint()
    delivery_world.record(40)
    taken, failures = [], []

    def work():
        try:
            for _ in range(60):
                mine = delivery_world.take(threads=3)
                taken.extend(mine)
                for claimed in mine:
                    assert delivery_world.settle(claimed, status_code=200)
        except Exception as error:
            failures.append(error)

    claimers = [threading.Thread(target=work) for _ in range(4)]
    for claimer in claimers:
        claimer.start()
    for claimer in claimers:
        claimer.join()
    while rest := delivery_world.take():
        taken.extend(rest)
        for claimed in rest:
            delivery_world.settle(claimed, status_code=200)
    assert failures == []
    assert len(taken) == 5 * 40
    assert len({claimed.delivery_id for claimed in taken}) == 5 * 40


def add_rows(delivery_world, endpoint_id, event_ids, **values):
    """Deliveries as they are after long work, put straight into the table."""
    with delivery_world.database.transaction() as session:
        session.execute(
            sa.insert(Delivery),
            [
                {
                    "id": ids.new_delivery_id(),
                    "event_id": event_id,
                    "endpoint_id": endpoint_id,
                    "created_at": NOW,
                    **values,
                }
                for event_id in event_ids
            ],
        )


def steps_of_a_claim(delivery_world):
    """How many steps SQLite's machine makes for a look and a claim, which is then undone."""
    steps = [0]

    def count():
        steps[0] += 1
        return 0

    with delivery_world.database.transaction() as session:
        raw: sqlite3.Connection = session.connection().connection.dbapi_connection.begin()
        raw.set_progress_handler(count, 1)
        free = FreeThreads(16, 4)
        assert due.endpoints(session, free, NOW)
        assert len(claiming.take(session, free, NOW + LEASE, NOW)) == 4
        raw.set_progress_handler(None, 0)
        session.rollback()
    return steps[0]


def test_a_claim_costs_the_same_however_many_are_delivered_due_or_waiting(delivery_world):
    if not delivery_world.database.is_sqlite:
        pytest.skip("counts the steps of SQLite's machine")
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(5)
    few = steps_of_a_claim(delivery_world)
    other = delivery_world.add_endpoint(event_types=["message.stuck"])
    event_ids = delivery_world.record(3000)
    add_rows(delivery_world, other, event_ids, status="delivered")
    with delivery_world.database.transaction() as session:
        session.execute(
            sa.update(Delivery)
            .where(Delivery.event_id.in_(event_ids[:1000]), Delivery.endpoint_id == endpoint_id)
            .values(status="delivered", next_attempt_at=None)
        )
        session.execute(
            sa.update(Delivery)
            .where(Delivery.event_id.in_(event_ids[1000:2000]), Delivery.endpoint_id == endpoint_id)
            .values(next_attempt_at=NOW + timedelta(hours=1), retry_step=3)
        )
        session.connection().exec_driver_sql("ANALYZE")
    many = steps_of_a_claim(delivery_world)
    assert many < 2 * few


def test_what_an_endpoint_has_in_flight_is_counted_once_for_each_query(delivery_world):
    database, free = delivery_world.database, FreeThreads(threads=4, slow_threads=1)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.reading() as session:
        compiled = due._BUSY.compiled(session.get_bind().dialect, due._wanted(free, NOW))
        values = compiled.bind(due._wanted(free, NOW))
        plan = session.connection().exec_driver_sql(f"{explain} {compiled.text}", values).all()
    if database.is_sqlite:
        # Its count, since when something is due, and twice whether something was handed in.
        assert str(plan).count("CORRELATED SCALAR SUBQUERY") == 4
    else:
        assert str(plan).count("Aggregate") == 1
