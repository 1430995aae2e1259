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


def enable(postman, endpoint_id):
    with postman.database.transaction() as session:
        endpoints.enable(session, endpoints.get(session, postman.crm_id, endpoint_id))


def feed_types(postman):
    with postman.database.reading() as session:
        return [event.type for event in event_feed.page(session, postman.crm_id, None, 1000)]


def fail_until(postman, now, end):
    """Fails whatever is due, minute by minute."""
    while now < end:
        postman.fail_all(now)
        now += MINUTE


def test_a_failure_waits_for_its_step_of_the_schedule(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    for now, expected in [(NOW, NOW + 5 * SECOND), (NOW + 5 * SECOND, NOW + 35 * SECOND)]:
        assert postman.fail_all(now) == 1
        assert postman.delivery(endpoint_id).next_attempt_at == expected
        assert postman.take(expected - SECOND) == []


def test_when_the_schedule_is_used_up_the_delivery_is_discarded(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    attempts = 0
    now = NOW
    while (due := postman.delivery(endpoint_id).next_attempt_at) is not None:
        now = max(due, postman.endpoint(endpoint_id).paused_until or due)
        attempts += postman.fail_all(now)
    delivery = postman.delivery(endpoint_id)
    assert (delivery.status, delivery.attempt_count, attempts) == ("discarded", 12, 12)
    assert delivery.settled_at == now
    assert len(postman.attempts(delivery)) == 12


def test_retry_after_reaches_the_delivery(postman):
    with Receiver(lambda _: Answer(503, (("Retry-After", "8"),))) as receiver:
        endpoint_id = postman.add_endpoint(receiver.url)
        postman.tell()
        postman.round()
    assert postman.delivery(endpoint_id).next_attempt_at == NOW + 8 * SECOND


def test_gone_disables_the_endpoint_and_keeps_what_waits(postman):
    with Receiver(lambda _: Answer(410)) as receiver:
        endpoint_id = postman.add_endpoint(receiver.url)
        postman.tell(3)
        postman.round(threads=1)
    endpoint = postman.endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.disabled_at) == (False, NOW)
    assert "410" in endpoint.disabled_reason
    assert [delivery.status for delivery in postman.deliveries(endpoint_id)] == ["pending"] * 3
    assert postman.take(NOW + DAY) == []


def test_disabling_by_itself_is_told_in_the_feed_and_to_the_other_endpoints(postman):
    with Receiver() as other:
        gone = postman.add_endpoint(event_types=["message.received"])
        postman.tell()
        (claimed,) = postman.take()
        postman.add_endpoint(other.url, event_types=["webhook.disabled"])
        postman.settle(claimed, status_code=410)
        postman.round()
    assert feed_types(postman) == ["message.received", "webhook.disabled"]
    (request,) = other.requests
    assert gone.encode() in request.body
    assert b"whsec_" not in request.body


def test_disabling_by_hand_is_told_to_nobody_and_puts_nothing_down_meanwhile(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    with postman.database.transaction() as session:
        endpoint = endpoints.get(session, postman.crm_id, endpoint_id)
        endpoints.update(session, endpoint, {"enabled": False}, NOW)
    postman.tell()
    assert feed_types(postman) == ["message.received"] * 2
    assert len(postman.deliveries(endpoint_id)) == 1


def test_enabling_resumes_what_waits_and_forgets_the_failures(postman):
    with Receiver() as receiver:
        endpoint_id = postman.add_endpoint(receiver.url)
        (event_id,) = postman.tell()
        postman.fail_all(status_code=410)
        assert postman.round(NOW + MINUTE) == 0
        enable(postman, endpoint_id)
        assert postman.round(NOW + MINUTE) == 1
    assert receiver.event_ids == [event_id]
    endpoint = postman.endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason) == (True, None, None)


def test_five_failures_in_a_row_open_the_breaker(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(20)
    assert postman.fail_all() == 4
    assert postman.endpoint(endpoint_id).paused_until is None
    assert postman.fail_all() == 4
    assert postman.endpoint(endpoint_id).paused_until == NOW + 30 * SECOND
    assert postman.take(NOW + 29 * SECOND) == []


def test_an_open_breaker_lets_one_probe_through_each_time_and_waits_longer_each_time(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(50)
    postman.fail_all()
    postman.fail_all()
    pauses = []
    for _ in range(6):
        now = postman.endpoint(endpoint_id).paused_until
        (probe,) = postman.take(now)
        assert postman.take(now) == []
        postman.settle(probe, now, status_code=500)
        pauses.append((postman.endpoint(endpoint_id).paused_until - now).total_seconds())
    assert pauses == [60, 120, 240, 480, 600, 600]


def test_an_open_breaker_burns_no_attempts_of_what_waits(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(50)
    fail_until(postman, NOW, NOW + 60 * MINUTE)
    untouched = [row for row in postman.deliveries(endpoint_id) if row.attempt_count == 0]
    assert len(untouched) > 25
    assert all(row.next_attempt_at == NOW for row in untouched)


def test_a_probe_that_gets_through_closes_the_breaker(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(20)
    postman.fail_all()
    postman.fail_all()
    now = postman.endpoint(endpoint_id).paused_until
    (probe,) = postman.take(now)
    postman.settle(probe, now, status_code=200)
    endpoint = postman.endpoint(endpoint_id)
    assert (endpoint.consecutive_failures, endpoint.failing_since) == (0, None)
    assert endpoint.paused_until is None
    assert len(postman.take(now)) == 4


def test_a_ping_does_not_wait_for_the_breaker(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(20)
    postman.fail_all()
    postman.fail_all()
    with postman.database.transaction() as session:
        endpoint = endpoints.get(session, postman.crm_id, endpoint_id)
        delivery_id = deliveries.ping(session, endpoint, NOW + SECOND)
    (claimed,) = postman.take(NOW + SECOND)
    assert claimed.delivery_id == delivery_id


def far_away(postman, endpoint_id, count):
    """So many deliveries that have failed six times and wait for hours; the breaker is open."""
    postman.tell(count)
    with postman.database.transaction() as session:
        session.execute(
            sa.update(Delivery).values(
                retry_step=6, attempt_count=6, next_attempt_at=NOW + timedelta(hours=2)
            )
        )
        endpoint = endpoints.get(session, postman.crm_id, endpoint_id)
        endpoint.consecutive_failures = 7
        endpoint.failing_since = NOW - timedelta(hours=3)


def test_when_the_endpoint_is_back_its_retries_are_pulled_forward_at_its_own_pace(postman):
    endpoint_id = postman.add_endpoint()
    far_away(postman, endpoint_id, 50)
    postman.tell()
    (probe,) = postman.take()
    postman.settle(probe, status_code=200)

    def due():
        return sum(row.next_attempt_at == NOW for row in postman.deliveries(endpoint_id))

    assert due() == 10
    for claimed in postman.take():
        postman.settle(claimed, status_code=200)
    assert due() == 10
    rounds = 0
    while taken := postman.take():
        for claimed in taken:
            postman.settle(claimed, status_code=200)
        rounds += 1
    assert rounds >= 11
    assert {row.status for row in postman.deliveries(endpoint_id)} == {"delivered"}


def test_a_retry_that_was_pulled_forward_and_fails_is_not_taken_off_the_schedule(postman):
    endpoint_id = postman.add_endpoint()
    far_away(postman, endpoint_id, 1)
    postman.tell()
    (probe,) = postman.take()
    postman.settle(probe, status_code=200)
    postman.fail_all()
    waiting = postman.deliveries(endpoint_id)[0]
    assert (waiting.retry_step, waiting.attempt_count) == (6, 7)
    assert waiting.next_attempt_at == NOW + timedelta(hours=2)


def test_a_single_failure_among_successes_pulls_nothing_forward(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    postman.fail_all()
    postman.tell()
    (healthy,) = postman.take()
    postman.settle(healthy, status_code=200)
    assert postman.deliveries(endpoint_id)[0].next_attempt_at == NOW + 5 * SECOND


def test_five_days_without_a_success_and_ten_failing_events_disable_the_endpoint(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(12)
    fail_until(postman, NOW, NOW + timedelta(hours=3))
    assert postman.endpoint(endpoint_id).failing_event_count >= 10
    postman.tell(1, now=NOW + 5 * DAY - MINUTE)
    postman.fail_all(NOW + 5 * DAY - MINUTE)
    assert postman.endpoint(endpoint_id).enabled
    later = postman.endpoint(endpoint_id).paused_until + MINUTE
    postman.fail_all(later)
    endpoint = postman.endpoint(endpoint_id)
    assert (endpoint.enabled, endpoint.disabled_at) == (False, later)
    assert "5 days" in endpoint.disabled_reason
    assert feed_types(postman)[-1] == "webhook.disabled"


def test_five_days_with_nine_failing_events_do_not(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(9)
    fail_until(postman, NOW, NOW + timedelta(hours=3))
    postman.fail_all(NOW + 6 * DAY)
    assert postman.endpoint(endpoint_id).failing_since == NOW
    assert postman.endpoint(endpoint_id).enabled


def test_one_success_starts_the_five_days_again(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(12)
    fail_until(postman, NOW, NOW + timedelta(hours=3))
    (probe,) = postman.take(NOW + 4 * DAY)
    postman.settle(probe, NOW + 4 * DAY, status_code=200)
    postman.fail_all(NOW + 6 * DAY)
    endpoint = postman.endpoint(endpoint_id)
    assert endpoint.enabled
    assert endpoint.failing_since == NOW + 6 * DAY


@pytest.mark.parametrize("result", [{"status_code": 200}, {"status_code": 500}])
def test_a_late_outcome_after_the_lease_was_lost_changes_nothing(postman, result):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    (late,) = postman.take(NOW)
    (again,) = postman.take(NOW + 2 * MINUTE)
    assert (again.event_id, again.delivery_id) == (late.event_id, late.delivery_id)
    before = vars(postman.endpoint(endpoint_id)).copy()
    assert postman.settle(late, NOW + 2 * MINUTE, **result) is False
    delivery = postman.delivery(endpoint_id)
    assert (delivery.status, delivery.claim, delivery.attempt_count) == ("pending", again.claim, 0)
    assert postman.attempts(delivery) == []
    after = vars(postman.endpoint(endpoint_id)).copy()
    before.pop("_sa_instance_state"), after.pop("_sa_instance_state")
    assert after == before
    assert postman.settle(again, NOW + 2 * MINUTE, status_code=200) is True


def test_what_waits_for_a_removed_endpoint_is_discarded_and_its_late_outcome_ignored(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(2)
    claimed = postman.take(threads=1)
    with postman.database.transaction() as session:
        endpoints.remove(session, endpoints.get(session, postman.crm_id, endpoint_id), NOW)
    assert [row.status for row in postman.deliveries(endpoint_id)] == ["discarded"] * 2
    assert postman.settle(claimed[0], status_code=200) is False
    assert postman.take() == []


def test_another_url_starts_with_a_clean_record(postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(20)
    postman.fail_all()
    postman.fail_all()
    url = urls.checked("http://127.0.0.2:9/new", postman.guard)
    with postman.database.transaction() as session:
        endpoint = endpoints.get(session, postman.crm_id, endpoint_id)
        endpoints.update(session, endpoint, {"url": url}, NOW)
    assert {claimed.url for claimed in postman.take()} == {url}
