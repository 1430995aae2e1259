"""The messages of each hour, counted from the history."""

from datetime import timedelta

from smsgw import clock
from smsgw.core.operations import hourly_counts
from smsgw.core.operations.hourly_counts import Hour
from smsgw.store.models import HistoryEntry

from .. import rows
from ..conftest import NOW, World


def write(world: World, statuses: list[str], at) -> None:
    with world.database.transaction() as session:
        message = rows.message(f"msg_{at.timestamp():032.0f}"[:36], statuses[-1], at)
        session.add(message)
        session.flush()
        session.add_all(
            HistoryEntry(message_id=message.id, status=word, at=at) for word in statuses
        )


def count_all(world: World, now) -> None:
    for _ in range(50):
        with world.database.reading() as session:
            if not hourly_counts.has_more(session, now):
                return
        with world.database.transaction() as session:
            hourly_counts.count_up(session, now)
    raise AssertionError("it never ends")


def test_each_entry_of_the_history_is_counted_once_in_its_hour(world: World, monkeypatch):
    monkeypatch.setattr(hourly_counts, "_AT_ONCE", 2)
    write(world, ["queued", "sent", "delivered"], NOW - timedelta(hours=2))
    write(world, ["queued", "failed"], NOW - timedelta(hours=1))
    write(world, ["received", "expired"], NOW - timedelta(minutes=1))
    for _ in range(2):
        count_all(world, NOW)
    with world.database.reading() as session:
        found = hourly_counts.of_last_day(session, NOW)
    assert len(found) == 24
    assert found[-3:] == [
        Hour(NOW - timedelta(hours=2), 1, 0, 0),
        Hour(NOW - timedelta(hours=1), 0, 2, 1),
        Hour(NOW, 0, 0, 0),
    ]


def test_what_is_younger_than_transactions_may_be_waits(world: World):
    """An entry with a lower id may still become visible."""
    write(world, ["sent"], NOW)
    count_all(world, NOW + timedelta(seconds=5))
    with world.database.reading() as session:
        assert hourly_counts.of_last_day(session, NOW)[-1].sent == 0
    count_all(world, NOW + timedelta(seconds=60))
    with world.database.reading() as session:
        assert hourly_counts.of_last_day(session, NOW)[-1].sent == 1


def test_hours_are_forgotten_after_a_month(world: World):
    write(world, ["sent"], NOW - timedelta(days=40))
    count_all(world, NOW)
    write(world, ["sent"], NOW - timedelta(hours=1))
    count_all(world, NOW)
    with world.database.reading() as session:
        (only,) = [hour for hour in hourly_counts.of_last_day(session, NOW) if hour.sent]
    assert only.hour == NOW - timedelta(hours=1)
    assert clock.now() > NOW
