"""A clock that was ahead and is set back: webhooks go out at once, or within what their schedule allows."""

from datetime import timedelta

from smsgw.core.operations import clock_changes
from smsgw.core.webhooks.retries import SHORTEST_PAUSE

from ..conftest import NOW
from .conftest import LEASE, Postman

AHEAD = NOW + timedelta(hours=1)


def bring_forward(postman: Postman) -> None:
    """Does what the worker does after the clock was set back from `AHEAD` to `NOW`."""
    with postman.database.reading() as session:
        assert clock_changes.has_put_off(session, postman.settings, NOW)
    with postman.database.transaction() as session:
        clock_changes.bring_forward(session, postman.settings, NOW)
    with postman.database.reading() as session:
        assert not clock_changes.has_put_off(session, postman.settings, NOW)


def test_an_event_recorded_an_hour_ahead_goes_out_once_the_clock_is_set_back(postman: Postman):
    postman.add_endpoint()
    postman.tell(3, now=AHEAD)
    assert not postman.take(NOW)
    bring_forward(postman)
    assert len(postman.take(NOW)) == 3


def test_a_first_retry_put_off_an_hour_is_made_at_once(postman: Postman):
    postman.add_endpoint()
    postman.tell(now=AHEAD)
    assert postman.fail_all(AHEAD) == 1
    bring_forward(postman)
    assert len(postman.take(NOW)) == 1


def test_a_retry_within_its_schedule_keeps_its_time(postman: Postman):
    endpoint_id = postman.add_endpoint()
    postman.tell()
    assert postman.fail_all() == 1
    due_at = postman.delivery(endpoint_id).next_attempt_at
    postman.tell(now=AHEAD)
    bring_forward(postman)
    assert postman.deliveries(endpoint_id)[0].next_attempt_at == due_at


def test_a_claim_made_an_hour_ahead_by_a_worker_that_died_ends_soon(postman: Postman):
    postman.add_endpoint()
    postman.tell(now=AHEAD)
    assert len(postman.take(AHEAD)) == 1
    bring_forward(postman)
    assert not postman.take(NOW + LEASE)
    assert len(postman.take(NOW + clock_changes.LONGEST_CLAIM)) == 1


def test_a_pause_begun_an_hour_ahead_lasts_no_longer_than_a_pause_can(postman: Postman):
    endpoint_id = postman.add_endpoint()
    postman.tell(5, now=AHEAD)
    postman.fail_all(AHEAD)
    postman.fail_all(AHEAD + SHORTEST_PAUSE)
    assert postman.endpoint(endpoint_id).paused_until > AHEAD
    bring_forward(postman)
    assert postman.endpoint(endpoint_id).paused_until <= NOW + clock_changes.LONGEST_PAUSE
