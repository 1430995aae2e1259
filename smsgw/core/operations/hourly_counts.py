"""Counts what was sent, failed and came in each hour, from the history, a step at a time."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.models import CountedHistory, HistoryEntry, HourlyCount

KEPT_FOR = timedelta(days=31)
# Transactions of this age have ended, so no lower id becomes visible any more.
_SETTLED_AFTER = timedelta(seconds=15)
_AT_ONCE = 5_000
# Of the history: which count an entry with this status belongs to.
_COLUMNS = {
    statuses.SENT: HourlyCount.sent.key,
    statuses.FAILED: HourlyCount.failed.key,
    statuses.EXPIRED: HourlyCount.failed.key,
    statuses.RECEIVED: HourlyCount.received.key,
}


class Hour(NamedTuple):
    """The counts of one hour, which begins at `hour`."""

    hour: datetime
    sent: int
    failed: int
    received: int


def of_last_day(session: Session, now: datetime) -> list[Hour]:
    """Return the counts of the last 24 hours, the present one last; hours without messages too."""
    present = _hour_of(now)
    first = present - timedelta(hours=23)
    rows = session.execute(
        sa.select(HourlyCount.hour, HourlyCount.sent, HourlyCount.failed, HourlyCount.received)
        .where(HourlyCount.hour >= first)
        .order_by(HourlyCount.hour)
    )
    found = {row.hour: Hour(*row) for row in rows}
    hours = [first + timedelta(hours=number) for number in range(24)]
    return [found.get(hour, Hour(hour, 0, 0, 0)) for hour in hours]


def has_more(session: Session, now: datetime) -> bool:
    """Return whether the history has entries that are not counted yet. Only reads."""
    last = sa.select(CountedHistory.history_id).where(CountedHistory.id == 1).scalar_subquery()
    newer = sa.select(HistoryEntry.at).where(HistoryEntry.id > sa.func.coalesce(last, -1))
    at = session.scalar(newer.order_by(HistoryEntry.id).limit(1))
    return at is not None and _is_settled(at, now)


def count_up(session: Session, now: datetime) -> bool:
    """Count the next entries of the history; return whether there are more."""
    position = session.get(CountedHistory, 1, with_for_update=True)
    if position is None:
        position = CountedHistory(id=1, history_id=0)
        session.add(position)
    rows = session.execute(
        sa.select(HistoryEntry.id, HistoryEntry.status, HistoryEntry.at)
        .where(HistoryEntry.id > position.history_id)
        .order_by(HistoryEntry.id)
        .limit(_AT_ONCE)
    ).all()
    settled = _settled(rows, now)
    if settled:
        position.history_id = settled[-1].id
        _add(session, Counter((_hour_of(row.at), row.status) for row in settled))
        session.execute(sa.delete(HourlyCount).where(HourlyCount.hour < now - KEPT_FOR))
    return len(settled) == _AT_ONCE


def _settled(
    rows: Sequence[sa.Row[int, str, datetime]], now: datetime
) -> Sequence[sa.Row[int, str, datetime]]:
    """Return the first rows, up to one that is too young."""
    for place, row in enumerate(rows):
        if not _is_settled(row.at, now):
            return rows[:place]
    return rows


def _is_settled(at: datetime, now: datetime) -> bool:
    # What is in the future was written by a clock that was set back since.
    return not now - _SETTLED_AFTER < at <= now


def _add(session: Session, counts: Counter[tuple[datetime, str]]) -> None:
    for (hour, status), count in counts.items():
        column = _COLUMNS.get(status)
        if column is None:
            continue
        row = session.get(HourlyCount, hour)
        if row is None:
            row = HourlyCount(hour=hour, sent=0, failed=0, received=0)
            session.add(row)
        setattr(row, column, getattr(row, column) + count)
        session.flush()


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
