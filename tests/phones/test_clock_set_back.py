"""A clock that was ahead and is set back: what it has put off goes on at once, or within a lease."""

from datetime import timedelta

import pytest

from smsgw import clock
from smsgw.core.operations import clock_changes

from .conftest import Stage

AHEAD = timedelta(hours=1)


@pytest.fixture
def ahead(stage: Stage) -> Stage:
    """A stage whose clock is an hour ahead."""
    stage.traveller.shift(AHEAD)
    return stage


def put_right(stage: Stage) -> None:
    """Sets the clock back, and does what the worker does then."""
    stage.traveller.shift(-AHEAD)
    database, settings = stage.world.database, stage.world.settings
    assert clock_changes.has_put_off(database, settings, clock.now())
    with database.transaction() as session:
        clock_changes.bring_forward(session, settings, clock.now())
    assert not clock_changes.has_put_off(database, settings, clock.now())


def test_a_message_queued_an_hour_ahead_goes_out_once_the_clock_is_set_back(ahead: Stage):
    ahead.queue()
    put_right(ahead)
    assert len(ahead.poll()) == 1


def test_a_message_with_a_time_to_be_sent_at_keeps_it(ahead: Stage):
    send_at = clock.now() + timedelta(hours=3)
    (scheduled,) = ahead.queue(send_at=send_at)
    ahead.queue()
    put_right(ahead)
    assert len(ahead.poll()) == 1
    assert ahead.message(scheduled).due_at == send_at
    assert ahead.status(scheduled) == "queued"


def test_a_lease_given_an_hour_ahead_ends_a_whole_lease_after_the_clock_is_set_back(
    ahead: Stage,
):
    _, dispatch_id = ahead.send()
    put_right(ahead)
    lease = ahead.world.settings.lease_seconds
    ahead.pass_time(seconds=lease - 1)
    assert ahead.poll() == []
    ahead.pass_time(seconds=2)
    assert [handed["id"] for handed in ahead.poll()] == [dispatch_id]


def test_nothing_is_brought_forward_while_the_clock_goes_on(stage: Stage):
    stage.queue(send_at=clock.now() + timedelta(hours=3))
    stage.send()
    stage.queue()
    assert not clock_changes.has_put_off(stage.world.database, stage.world.settings, clock.now())
