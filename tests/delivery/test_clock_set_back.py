"""A clock that was ahead and is set back: webhooks go out at once, or within what their schedule allows."""

from datetime import timedelta

from smsgw.core.operations import clock_changes
from smsgw.core.webhooks.retries import SHORTEST_PAUSE

from ..conftest import NOW
from .conftest import LEASE, DeliveryWorld

AHEAD = NOW + timedelta(hours=1)


def bring_forward(delivery_world: DeliveryWorld) -> None:
    """Does what the worker does after the clock was set back from `AHEAD` to `NOW`."""
    database, settings = delivery_world.database, delivery_world.settings
    assert clock_changes.has_put_off(database, settings, NOW)
    with database.transaction() as session:
        clock_changes.bring_forward(session, settings, NOW)
    assert not clock_changes.has_put_off(database, settings, NOW)


def test_an_event_recorded_an_hour_ahead_goes_out_once_the_clock_is_set_back(
    delivery_world: DeliveryWorld,
):
    delivery_world.add_endpoint()
    delivery_world.record(3, now=AHEAD)
    assert not delivery_world.take(NOW)
    bring_forward(delivery_world)
    assert len(delivery_world.take(NOW)) == 3


def test_a_first_retry_put_off_an_hour_is_made_at_once(delivery_world: DeliveryWorld):
    delivery_world.add_endpoint()
    delivery_world.record(now=AHEAD)
    assert delivery_world.fail_all(AHEAD) == 1
    bring_forward(delivery_world)
    assert len(delivery_world.take(NOW)) == 1


def test_a_retry_within_its_schedule_keeps_its_time(delivery_world: DeliveryWorld):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record()
    assert delivery_world.fail_all() == 1
    due_at = delivery_world.delivery(endpoint_id).next_attempt_at
    delivery_world.record(now=AHEAD)
    bring_forward(delivery_world)
    assert delivery_world.deliveries(endpoint_id)[0].next_attempt_at == due_at


def test_a_claim_made_an_hour_ahead_by_a_worker_that_died_ends_soon(delivery_world: DeliveryWorld):
    delivery_world.add_endpoint()
    delivery_world.record(now=AHEAD)
    assert len(delivery_world.take(AHEAD)) == 1
    bring_forward(delivery_world)
    assert not delivery_world.take(NOW + LEASE)
    assert len(delivery_world.take(NOW + clock_changes.LONGEST_CLAIM)) == 1


def test_a_pause_begun_an_hour_ahead_lasts_no_longer_than_a_pause_can(
    delivery_world: DeliveryWorld,
):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(5, now=AHEAD)
    delivery_world.fail_all(AHEAD)
    delivery_world.fail_all(AHEAD + SHORTEST_PAUSE)
    assert delivery_world.endpoint(endpoint_id).paused_until > AHEAD
    bring_forward(delivery_world)
    assert delivery_world.endpoint(endpoint_id).paused_until <= NOW + clock_changes.LONGEST_PAUSE
