"""Several outcomes in one transaction, and what a worker does with those it could not write down or not send."""

import signal
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from smsgw import clock
from smsgw.core.webhooks import claiming, settling
from smsgw.core.webhooks.retries import AttemptResult
from smsgw.core.webhooks.settling import Finished
from smsgw.delivery.worker import Worker
from tests.conftest import NOW
from tests.delivery.receiver import Answer, Receiver
from tests.delivery.test_worker import (
    HOUR,
    PATIENCE_SECONDS,
    Held,
    running,
    statuses,
    wait_until,
    worker_process,
)
from tests.noting import noted

SECOND = timedelta(seconds=1)


def ended(claimed, **result):
    outcome = AttemptResult(started_at=NOW, duration_seconds=0.1, **result) if result else None
    return Finished(claimed.endpoint_id, claimed.delivery_id, claimed.claim, outcome)


def settle(delivery_world, *finished, now=NOW):
    """All in one transaction; returns those that were not ours."""
    with delivery_world.database.transaction() as session:
        return settling.settle(session, finished, delivery_world.rule, now)


def test_each_of_several_outcomes_has_its_own_consequences(delivery_world):
    wanted = ["message.received"]
    well, failing, gone = (delivery_world.add_endpoint(event_types=wanted) for _ in range(3))
    delivery_world.record(2)
    by_endpoint = {well: [], failing: [], gone: []}
    for claimed in delivery_world.take():
        by_endpoint[claimed.endpoint_id].append(claimed)
    lost = replace(by_endpoint[well][1], claim="somebody else's")
    outcomes = [
        ended(by_endpoint[failing][0], status_code=500),
        ended(by_endpoint[well][0], status_code=200, response_text="thanks"),
        ended(lost, status_code=200),
        ended(by_endpoint[gone][0], status_code=410),
        ended(by_endpoint[failing][1], error="timeout", detail="No answer."),
    ]
    assert settle(delivery_world, *outcomes) == [outcomes[2]]
    assert statuses(delivery_world, well) == {"delivered": 1, "pending": 1}
    assert statuses(delivery_world, failing) == {"pending": 2}
    assert delivery_world.endpoint(well).last_success_at == NOW
    assert delivery_world.endpoint(failing).consecutive_failures == 2
    assert delivery_world.endpoint(failing).has_timed_out
    assert not delivery_world.endpoint(gone).enabled
    for one in outcomes:
        delivery = next(
            d for d in delivery_world.deliveries(one.endpoint_id) if d.id == one.delivery_id
        )
        assert len(delivery_world.attempts(delivery)) == (one is not outcomes[2])
        assert delivery.attempt_count == (one is not outcomes[2])


@pytest.mark.parametrize(
    ("codes", "failures"),
    [((200, 500), 1), ((500, 200), 0), ((500, 500, 200, 500), 1), ((200, 200), 0)],
)
def test_an_endpoints_outcomes_count_in_the_order_in_which_they_ended(
    delivery_world, codes, failures
):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(len(codes))
    pairs = zip(delivery_world.take(), codes, strict=True)
    assert (
        settle(delivery_world, *(ended(claimed, status_code=code) for claimed, code in pairs)) == []
    )
    assert delivery_world.endpoint(endpoint_id).consecutive_failures == failures
    assert statuses(delivery_world, endpoint_id)["delivered"] == codes.count(200)


def test_many_successes_take_no_more_statements_than_few(delivery_world):
    for _ in range(4):
        delivery_world.add_endpoint()
    delivery_world.record(5)
    few, many = delivery_world.take(threads=2), delivery_world.take(threads=14)
    with noted(delivery_world.database) as for_few:
        settle(delivery_world, *(ended(claimed, status_code=200) for claimed in few))
    with noted(delivery_world.database) as for_many:
        settle(delivery_world, *(ended(claimed, status_code=200) for claimed in many))
    # PostgreSQL takes many rows in a few inserts of 1, 2, 4 … rows.
    assert len(_kinds(for_many)) == len(_kinds(for_few)) > 3
    assert len(for_many) <= len(for_few) + 3


def _kinds(seen):
    return {text.partition("VALUES")[0] for text, _ in seen}


def test_what_was_not_sent_is_due_again_and_has_no_attempt(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    (claimed,) = delivery_world.take()
    assert settle(delivery_world, ended(claimed), now=NOW + SECOND) == []
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.claim, delivery.attempt_count) == ("pending", None, 0)
    assert delivery_world.attempts(delivery) == []
    (again,) = delivery_world.take(NOW + SECOND)
    assert settle(delivery_world, ended(claimed), now=NOW + SECOND) == [ended(claimed)]
    assert delivery_world.delivery(endpoint_id).claim == again.claim


def test_an_outcome_that_cannot_be_written_down_takes_no_other_with_it(
    delivery_world, monkeypatch, caplog
):
    honest = settling.settle

    def refuses(session, finished, *rest):
        if any(one.endpoint_id == broken for one in finished):
            raise RuntimeError("a bug")
        return honest(session, finished, *rest)

    with Receiver() as receiver:
        broken = delivery_world.add_endpoint(f"{receiver.url}/broken")
        healthy = [delivery_world.add_endpoint(f"{receiver.url}/{n}") for n in range(3)]
        delivery_world.record(4, now=clock.now())
        monkeypatch.setattr(settling, "settle", refuses)
        with running(Worker(delivery_world.settings, delivery_world.database)):
            for endpoint_id in healthy:
                wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 4})  # noqa: B023
    assert all(delivery.claim for delivery in delivery_world.deliveries(broken))
    assert "a bug" in caplog.text
    got = Counter((request.path, request.event_id) for request in receiver.requests)
    assert set(got.values()) == {1}


def test_a_worker_that_is_killed_before_it_has_settled_sends_again_under_the_same_id(
    delivery_world,
):
    dies = (
        "import os, signal; from smsgw.core.webhooks import settling;"
        "settling.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
    )
    with Receiver() as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        event_ids = delivery_world.record(3, now=clock.now())
        with worker_process(delivery_world, before=dies) as process:
            assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert statuses(delivery_world, endpoint_id) == {"pending": 3}
        sent = Counter(receiver.event_ids)
        later = Worker(
            delivery_world.settings, delivery_world.database, clock=lambda: clock.now() + HOUR
        )
        with running(later):
            wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 3})
    assert sent
    assert Counter(receiver.event_ids) == sent + Counter(event_ids)


def test_what_waits_to_be_settled_when_the_worker_is_ended_is_settled_and_the_rest_given_back(
    delivery_world, monkeypatch
):
    stop, honest = threading.Event(), settling.settle

    def is_slow(session, finished, *rest):
        # Others are still in flight, or have ended and wait for the next transaction.
        if finished and not stop.is_set() and len(receiver.requests) >= 6:
            stop.set()
        return honest(session, finished, *rest)

    with Receiver() as receiver:
        endpoints = [delivery_world.add_endpoint(f"{receiver.url}/{n}") for n in range(5)]
        delivery_world.record(8, now=clock.now())
        monkeypatch.setattr(settling, "settle", is_slow)
        Worker(replace(delivery_world.settings, threads=3), delivery_world.database).run(stop)
    deliveries = [
        row for endpoint_id in endpoints for row in delivery_world.deliveries(endpoint_id)
    ]
    assert sum(row.status == "delivered" for row in deliveries) == len(receiver.requests)
    assert {row.claim for row in deliveries} == {None}
    assert {row.attempt_count for row in deliveries if row.status == "pending"} == {0}


def test_what_took_too_long_to_take_is_given_back_and_sent_once(delivery_world, monkeypatch):
    late, unsent = [timedelta(0)], []
    settle, take = settling.settle, claiming.take

    def watches(session, finished, *rest):
        unsent.extend(one for one in finished if one.result is None)
        return settle(session, finished, *rest)

    def is_slow(*arguments):
        taken = take(*arguments)
        if taken and not unsent:
            late[0] += 10 * SECOND
        return taken

    with Receiver() as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        event_ids = delivery_world.record(3, now=clock.now())
        monkeypatch.setattr(settling, "settle", watches)
        monkeypatch.setattr(claiming, "take", is_slow)
        worker = Worker(
            delivery_world.settings, delivery_world.database, clock=lambda: clock.now() + late[0]
        )
        with running(worker):
            wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 3})
    assert len(unsent) == 3
    assert sorted(receiver.event_ids) == sorted(event_ids)


def test_a_worker_takes_no_more_than_it_may_send_at_the_same_time(delivery_world):
    held = Held()
    with Receiver(held) as receiver:
        endpoints = [delivery_world.add_endpoint(f"{receiver.url}/{n}") for n in range(3)]
        delivery_world.record(5, now=clock.now())
        with running(Worker(replace(delivery_world.settings, threads=2), delivery_world.database)):
            wait_until(lambda: len(receiver.requests) == 2)
            claimed = [
                row for each in endpoints for row in delivery_world.deliveries(each) if row.claim
            ]
            assert len(claimed) == 2
            held.release()


def test_a_worker_never_has_more_than_four_requests_at_an_endpoint(delivery_world):
    lock, inside, most = threading.Lock(), [0], [0]

    def answer(_request):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.002)
        with lock:
            inside[0] -= 1
        return Answer()

    with Receiver(answer) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record(80, now=clock.now())
        with running(Worker(delivery_world.settings, delivery_world.database)):
            wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 80})
    assert 1 < most[0] <= 4
    assert len(set(receiver.event_ids)) == len(receiver.event_ids) == 80
