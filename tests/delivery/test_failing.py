"""What failures lead to: retries, the breaker, switching off; and what a success puts right."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw.core.events import feed as event_feed
from smsgw.core.webhooks import deliveries, endpoints, urls
from smsgw.store.models import Delivery
from tests.conftest import NOW
from tests.delivery.receiver import Answer, Receiver

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def enable(delivery_world, endpoint_id):
    with delivery_world.database.transaction() as session:
        endpoints.enable(session, endpoints.get(session, delivery_world.crm_id, endpoint_id))


def feed_types(delivery_world):
    with delivery_world.database.reading() as session:
        return [event.type for event in event_feed.page(session, delivery_world.crm_id, None, 1000)]


def fail_until(delivery_world, now, end):
    """Fails whatever is due, minute by minute."""
    while now < end:
        delivery_world.fail_all(now)
        now += MINUTE


def test_a_failure_waits_for_its_step_of_the_schedule(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    for now, expected in [(NOW, NOW + 5 * SECOND), (NOW + 5 * SECOND, NOW + 35 * SECOND)]:
        assert delivery_world.fail_all(now) == 1
        assert delivery_world.delivery(endpoint_id).next_attempt_at == expected
        assert delivery_world.take(expected - SECOND) == []


def test_when_the_schedule_is_used_up_the_delivery_is_discarded(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    attempts = 0
    now = NOW
    while (due := delivery_world.delivery(endpoint_id).next_attempt_at) is not None:
        now = max(due, delivery_world.endpoint(endpoint_id).paused_until or due)
        attempts += delivery_world.fail_all(now)
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.attempt_count, attempts) == ("discarded", 12, 12)
    assert delivery.settled_at == now
    assert len(delivery_world.attempts(delivery)) == 12


def test_retry_after_reaches_the_delivery(delivery_world):
    with Receiver(lambda _: Answer(503, (("Retry-After", "8"),))) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record()
        delivery_world.round()
    assert delivery_world.delivery(endpoint_id).next_attempt_at == NOW + 8 * SECOND


def test_gone_disables_the_endpoint_and_keeps_what_waits(delivery_world):
    with Receiver(lambda _: Answer(410)) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record(3)
        delivery_world.round(threads=1)
    endpoint = delivery_world.endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.disabled_at) == (False, NOW)
    assert "410" in endpoint.disabled_reason
    assert [delivery.status for delivery in delivery_world.deliveries(endpoint_id)] == [
        "pending"
    ] * 3
    assert delivery_world.take(NOW + DAY) == []


def test_disabling_by_itself_is_told_in_the_feed_and_to_the_other_endpoints(delivery_world):
    with Receiver() as other:
        gone = delivery_world.add_endpoint(event_types=["message.received"])
        delivery_world.record()
        (claimed,) = delivery_world.take()
        delivery_world.add_endpoint(other.url, event_types=["webhook.disabled"])
        delivery_world.settle(claimed, status_code=410)
        delivery_world.round()
    assert feed_types(delivery_world) == ["message.received", "webhook.disabled"]
    (request,) = other.requests
    assert gone.encode() in request.body
    assert b"whsec_" not in request.body


def test_disabling_by_hand_is_told_to_nobody_and_puts_nothing_down_meanwhile(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        endpoints.update(session, endpoint, {"enabled": False}, NOW)
    delivery_world.record()
    assert feed_types(delivery_world) == ["message.received"] * 2
    assert len(delivery_world.deliveries(endpoint_id)) == 1


def test_enabling_resumes_what_waits_and_forgets_the_failures(delivery_world):
    with Receiver() as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        (event_id,) = delivery_world.record()
        delivery_world.fail_all(status_code=410)
        assert delivery_world.round(NOW + MINUTE) == 0
        enable(delivery_world, endpoint_id)
        assert delivery_world.round(NOW + MINUTE) == 1
    assert receiver.event_ids == [event_id]
    endpoint = delivery_world.endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason) == (True, None, None)


def test_five_failures_in_a_row_open_the_breaker(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(20)
    assert delivery_world.fail_all() == 4
    assert delivery_world.endpoint(endpoint_id).paused_until is None
    assert delivery_world.fail_all() == 4
    assert delivery_world.endpoint(endpoint_id).paused_until == NOW + 30 * SECOND
    assert delivery_world.take(NOW + 29 * SECOND) == []


def test_an_open_breaker_lets_one_probe_through_each_time_and_waits_longer_each_time(
    delivery_world,
):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(50)
    delivery_world.fail_all()
    delivery_world.fail_all()
    pauses = []
    for _ in range(6):
        now = delivery_world.endpoint(endpoint_id).paused_until
        (probe,) = delivery_world.take(now)
        assert delivery_world.take(now) == []
        delivery_world.settle(probe, now, status_code=500)
        pauses.append((delivery_world.endpoint(endpoint_id).paused_until - now).total_seconds())
    assert pauses == [60, 120, 240, 480, 600, 600]


def test_an_open_breaker_burns_no_attempts_of_what_waits(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(50)
    fail_until(delivery_world, NOW, NOW + 60 * MINUTE)
    untouched = [row for row in delivery_world.deliveries(endpoint_id) if row.attempt_count == 0]
    assert len(untouched) > 25
    assert all(row.next_attempt_at == NOW for row in untouched)


def test_a_probe_that_gets_through_closes_the_breaker(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(20)
    delivery_world.fail_all()
    delivery_world.fail_all()
    now = delivery_world.endpoint(endpoint_id).paused_until
    (probe,) = delivery_world.take(now)
    delivery_world.settle(probe, now, status_code=200)
    endpoint = delivery_world.endpoint(endpoint_id)
    assert (endpoint.consecutive_failures, endpoint.failing_since) == (0, None)
    assert endpoint.paused_until is None
    assert len(delivery_world.take(now)) == 4


def test_a_ping_does_not_wait_for_the_breaker(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(20)
    delivery_world.fail_all()
    delivery_world.fail_all()
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        delivery_id = deliveries.ping(session, endpoint, NOW + SECOND)
    (claimed,) = delivery_world.take(NOW + SECOND)
    assert claimed.delivery_id == delivery_id


def far_away(delivery_world, endpoint_id, count):
    """So many deliveries that have failed six times and wait for hours; the breaker is open."""
    delivery_world.record(count)
    with delivery_world.database.transaction() as session:
        session.execute(
            sa.update(Delivery).values(
                retry_step=6, attempt_count=6, next_attempt_at=NOW + timedelta(hours=2)
            )
        )
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        endpoint.consecutive_failures = 7
        endpoint.failing_since = NOW - timedelta(hours=3)


def test_when_the_endpoint_is_back_its_retries_are_pulled_forward_at_its_own_pace(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    far_away(delivery_world, endpoint_id, 50)
    delivery_world.record()
    (probe,) = delivery_world.take()
    delivery_world.settle(probe, status_code=200)

    def due():
        return sum(row.next_attempt_at == NOW for row in delivery_world.deliveries(endpoint_id))

    assert due() == 10
    for claimed in delivery_world.take():
        delivery_world.settle(claimed, status_code=200)
    assert due() == 10
    rounds = 0
    while taken := delivery_world.take():
        for claimed in taken:
            delivery_world.settle(claimed, status_code=200)
        rounds += 1
    assert rounds >= 11
    assert {row.status for row in delivery_world.deliveries(endpoint_id)} == {"delivered"}


def test_a_retry_that_was_pulled_forward_and_fails_is_not_taken_off_the_schedule(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    far_away(delivery_world, endpoint_id, 1)
    delivery_world.record()
    (probe,) = delivery_world.take()
    delivery_world.settle(probe, status_code=200)
    delivery_world.fail_all()
    waiting = delivery_world.deliveries(endpoint_id)[0]
    assert (waiting.retry_step, waiting.attempt_count) == (6, 7)
    assert waiting.next_attempt_at == NOW + timedelta(hours=2)


def test_a_single_failure_among_successes_pulls_nothing_forward(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    delivery_world.fail_all()
    delivery_world.record()
    (healthy,) = delivery_world.take()
    delivery_world.settle(healthy, status_code=200)
    assert delivery_world.deliveries(endpoint_id)[0].next_attempt_at == NOW + 5 * SECOND


def test_five_days_without_a_success_and_ten_failing_events_disable_the_endpoint(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(12)
    fail_until(delivery_world, NOW, NOW + timedelta(hours=3))
    assert delivery_world.endpoint(endpoint_id).failing_event_count >= 10
    delivery_world.record(1, now=NOW + 5 * DAY - MINUTE)
    delivery_world.fail_all(NOW + 5 * DAY - MINUTE)
    assert delivery_world.endpoint(endpoint_id).enabled
    later = delivery_world.endpoint(endpoint_id).paused_until + MINUTE
    delivery_world.fail_all(later)
    endpoint = delivery_world.endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.disabled_at) == (False, later)
    assert "5 days" in endpoint.disabled_reason
    assert feed_types(delivery_world)[-1] == "webhook.disabled"


def test_five_days_with_nine_failing_events_do_not(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(9)
    fail_until(delivery_world, NOW, NOW + timedelta(hours=3))
    delivery_world.fail_all(NOW + 6 * DAY)
    assert delivery_world.endpoint(endpoint_id).failing_since == NOW
    assert delivery_world.endpoint(endpoint_id).enabled


def test_one_success_starts_the_five_days_again(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(12)
    fail_until(delivery_world, NOW, NOW + timedelta(hours=3))
    (probe,) = delivery_world.take(NOW + 4 * DAY)
    delivery_world.settle(probe, NOW + 4 * DAY, status_code=200)
    delivery_world.fail_all(NOW + 6 * DAY)
    endpoint = delivery_world.endpoint(endpoint_id)
    assert endpoint.enabled
    assert endpoint.failing_since == NOW + 6 * DAY


@pytest.mark.parametrize("result", [{"status_code": 200}, {"status_code": 500}])
def test_a_late_outcome_after_the_lease_was_lost_changes_nothing(delivery_world, result):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    (late,) = delivery_world.take(NOW)
    (again,) = delivery_world.take(NOW + 2 * MINUTE)
    assert (again.event_id, again.delivery_id) == (late.event_id, late.delivery_id)
    before = vars(delivery_world.endpoint(endpoint_id)).copy()
    assert delivery_world.settle(late, NOW + 2 * MINUTE, **result) is False
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.claim, delivery.attempt_count) == ("pending", again.claim, 0)
    assert delivery_world.attempts(delivery) == []
    after = vars(delivery_world.endpoint(endpoint_id)).copy()
    before.pop("_sa_instance_state"), after.pop("_sa_instance_state")
    assert after == before
    assert delivery_world.settle(again, NOW + 2 * MINUTE, status_code=200) is True


def test_what_waits_for_a_removed_endpoint_is_discarded_and_its_late_outcome_ignored(
    delivery_world,
):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(2)
    claimed = delivery_world.take(threads=1)
    with delivery_world.database.transaction() as session:
        endpoints.remove(session, endpoints.get(session, delivery_world.crm_id, endpoint_id), NOW)
    assert [row.status for row in delivery_world.deliveries(endpoint_id)] == ["discarded"] * 2
    assert delivery_world.settle(claimed[0], status_code=200) is False
    assert delivery_world.take() == []


def test_another_url_starts_with_a_clean_record(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(20)
    delivery_world.fail_all()
    delivery_world.fail_all()
    url = urls.checked("http://127.0.0.2:9/new", delivery_world.guard.allowed)
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        endpoints.update(session, endpoint, {"url": url}, NOW)
    assert {claimed.url for claimed in delivery_world.take()} == {url}
