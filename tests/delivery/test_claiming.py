"""Who gets the threads, and that claiming costs the same however much waits."""

import sqlite3
import threading
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import ids
from smsgw.core.webhooks import claiming
from smsgw.core.webhooks.due import FreeThreads
from smsgw.store.models import Delivery
from tests.conftest import NOW
from tests.delivery.conftest import LEASE

SECOND = timedelta(seconds=1)


def by_endpoint(taken):
    return Counter(claimed.endpoint_id for claimed in taken)


def test_an_endpoint_has_at_most_four_requests_at_the_same_time(postman):
    postman.add_endpoint()
    postman.tell(10)
    first = postman.take()
    assert len(first) == 4
    assert postman.take() == []
    postman.settle(first[0], status_code=200)
    assert len(postman.take()) == 1


def test_the_least_loaded_endpoint_comes_first(postman):
    busy = postman.add_endpoint()
    postman.tell(10)
    assert by_endpoint(postman.take(threads=3)) == {busy: 3}
    idle = postman.add_endpoint()
    postman.tell(10)
    assert by_endpoint(postman.take(threads=3)) == {idle: 3}


def test_free_threads_are_dealt_out_evenly(postman):
    endpoints = [postman.add_endpoint() for _ in range(3)]
    postman.tell(10)
    assert by_endpoint(postman.take(threads=6)) == dict.fromkeys(endpoints, 2)


def test_a_hanging_endpoint_does_not_hold_up_the_healthy_ones(postman):
    """300 events for each of ten endpoints, one of which never answers: rounds are counted, not seconds."""
    hanging = postman.add_endpoint()
    healthy = [postman.add_endpoint() for _ in range(9)]
    postman.tell(300)
    stuck, rounds, done = [], 0, Counter()
    while sum(done.values()) < 9 * 300:
        taken = postman.take(threads=32 - len(stuck))
        stuck += [claimed for claimed in taken if claimed.endpoint_id == hanging]
        answered = [claimed for claimed in taken if claimed.endpoint_id != hanging]
        for claimed in answered:
            postman.settle(claimed, status_code=200)
        done += by_endpoint(answered)
        rounds += 1
    assert len(stuck) == 4
    assert done == dict.fromkeys(healthy, 300)
    # 28 threads are left to the healthy ones.
    assert rounds <= 9 * 300 / 28 + 5


def test_endpoints_that_time_out_get_a_quarter_of_the_threads(postman):
    slow = [postman.add_endpoint() for _ in range(4)]
    postman.tell()
    for claimed in postman.take():
        postman.settle(claimed, error="timeout")
    healthy = postman.add_endpoint()
    postman.tell(10)
    taken = by_endpoint(postman.take(threads=16, slow_threads=4))
    assert sum(taken[endpoint] for endpoint in slow) == 4
    assert taken[healthy] == 4
    assert by_endpoint(postman.take(threads=8, slow_threads=0)) == {}


def test_when_slow_endpoints_have_their_share_the_others_are_still_found(postman):
    for _ in range(5):
        postman.add_endpoint()
    postman.tell()
    for claimed in postman.take():
        postman.settle(claimed, error="timeout")
    healthy = postman.add_endpoint()
    postman.tell(1, now=NOW + SECOND)
    assert by_endpoint(postman.take(NOW + SECOND, threads=2, slow_threads=0)) == {healthy: 1}


@pytest.mark.parametrize("change", ["disabled", "removed", "paused"])
def test_nothing_is_claimed_for_an_endpoint_that_is(postman, change):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    values = {
        "disabled": {"enabled": False},
        "removed": {"removed_at": NOW},
        "paused": {"paused_until": NOW + SECOND},
    }[change]
    with postman.database.transaction() as session:
        table = sa.table("webhook_endpoints", sa.column("id"), *map(sa.column, values))
        typed = {
            name: sa.bindparam(name, value, type_=Delivery.created_at.type)
            if name.endswith(("_at", "_until"))
            else value
            for name, value in values.items()
        }
        session.execute(sa.update(table).where(table.c.id == endpoint_id).values(typed))
    assert postman.take() == []


def test_a_claim_lasts_for_its_lease_and_then_the_delivery_is_due_again(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    (first,) = postman.take()
    delivery = postman.delivery(endpoint_id)
    assert (delivery.claim, delivery.next_attempt_at) == (first.claim, NOW + LEASE)
    assert postman.take(NOW + LEASE - SECOND) == []
    (second,) = postman.take(NOW + LEASE)
    assert second.delivery_id == first.delivery_id
    assert second.claim != first.claim


def test_many_claimers_at_once_never_take_the_same_delivery(postman):
    for _ in range(5):
        postman.add_endpoint()
    postman.tell(40)
    taken, failures = [], []

    def work():
        try:
            for _ in range(60):
                mine = postman.take(threads=3)
                taken.extend(mine)
                for claimed in mine:
                    assert postman.settle(claimed, status_code=200)
        except Exception as error:
            failures.append(error)

    claimers = [threading.Thread(target=work) for _ in range(4)]
    for claimer in claimers:
        claimer.start()
    for claimer in claimers:
        claimer.join()
    while rest := postman.take():
        taken.extend(rest)
        for claimed in rest:
            postman.settle(claimed, status_code=200)
    assert failures == []
    assert len(taken) == 5 * 40
    assert len({claimed.delivery_id for claimed in taken}) == 5 * 40


def add_rows(postman, endpoint_id, event_ids, **values):
    """Deliveries as they are after long work, put straight into the table."""
    with postman.database.transaction() as session:
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


def steps_of_a_claim(postman):
    """How many steps SQLite's machine makes for a look and a claim, which is then undone."""
    steps = [0]

    def count():
        steps[0] += 1
        return 0

    with postman.database.transaction() as session:
        raw: sqlite3.Connection = session.connection().connection.dbapi_connection.begin()
        raw.set_progress_handler(count, 1)
        free = FreeThreads(16, 4)
        assert claiming.is_due(session, free, NOW)
        assert len(claiming.take(session, free, NOW + LEASE, NOW)) == 4
        raw.set_progress_handler(None, 0)
        session.rollback()
    return steps[0]


def test_a_claim_costs_the_same_however_many_are_delivered_due_or_waiting(postman):
    if not postman.database.is_sqlite:
        pytest.skip("counts the steps of SQLite's machine")
    endpoint_id = postman.add_endpoint()
    postman.tell(5)
    few = steps_of_a_claim(postman)
    other = postman.add_endpoint(event_types=["message.stuck"])
    event_ids = postman.tell(3000)
    add_rows(postman, other, event_ids, status="delivered")
    with postman.database.transaction() as session:
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
    many = steps_of_a_claim(postman)
    assert many < 2 * few
