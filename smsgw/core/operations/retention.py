"""Removes what is older than the retention time, in steps that hold the write lock for some milliseconds each."""

from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import statuses
from ...store.models import Attempt, Delivery, Event, HistoryEntry, Message, QuarantinedItem
from ..accounts import audit_log
from ..messages import bulks, read_marks, sticky_senders

# With 500, a step on SQLite held the write lock for 53 ms, with 100 for 11.
_AT_ONCE = 100
_MESSAGES_READ_AT_ONCE = 10_000


class OldMessages:
    """Walks over the messages, oldest first, and empties those that are too old.

    A message keeps its row without numbers and text, because its ids must never count as new. A pass begins each day,
    for messages that have ended since the last one.
    """

    def __init__(self, settings: Settings) -> None:
        self._days = settings.retention_days
        self._began_on: date | None = None
        self._after = ""
        self._found: list[str] = []

    def find(self, session: Session, now: datetime) -> bool:
        """Find the next messages to empty, among the next 10,000; return whether to go on. Only reads."""
        if self._days == 0:
            return False
        if self._began_on != now.date():
            self._began_on, self._after = now.date(), ""
        limit = now - timedelta(days=self._days)
        last = self._last_read(session)
        self._found = self._too_old(session, limit, None if last is None else last.id)
        if len(self._found) == _AT_ONCE:
            self._after = self._found[-1]
        elif last is not None and last.created_at <= limit:
            self._after = last.id
            return True
        return bool(self._found)

    def empty(self, session: Session, now: datetime) -> int:
        """Empty the messages that were found, and return 1 at least: there may be more."""
        session.execute(sa.delete(HistoryEntry).where(HistoryEntry.message_id.in_(self._found)))
        session.execute(
            sa.update(Message)
            .where(Message.id.in_(self._found), Message.status.not_in(statuses.UNFINISHED))
            .values(
                content=None,
                from_number=None,
                to_number=None,
                metadata_=None,
                text_hash=None,
                purged_at=now,
            )
        )
        return max(1, len(self._found))

    def _last_read(self, session: Session) -> sa.Row[str, datetime] | None:
        """Return the last message of this step, `None` where the step reaches the end of all messages."""
        following = sa.select(Message.id, Message.created_at).where(Message.id > self._after)
        last = following.order_by(Message.id).offset(_MESSAGES_READ_AT_ONCE - 1).limit(1)
        return session.execute(last).one_or_none()

    def _too_old(self, session: Session, limit: datetime, last_id: str | None) -> list[str]:
        wanted = sa.select(Message.id).where(
            Message.id > self._after,
            Message.created_at <= limit,
            Message.purged_at.is_(None),
            Message.status.not_in(statuses.UNFINISHED),
        )
        if last_id is not None:
            wanted = wanted.where(Message.id <= last_id)
        return list(session.scalars(wanted.order_by(Message.id).limit(_AT_ONCE)))


def remove_events(session: Session, settings: Settings, now: datetime) -> int:
    """Remove some of the old events with their deliveries and attempts, and return how many events it was."""
    if settings.retention_days == 0:
        return 0
    limit = now - timedelta(days=settings.retention_days)
    chosen = sa.select(Event.id).where(Event.created_at <= limit).order_by(Event.created_at)
    old = list(session.scalars(chosen.limit(_AT_ONCE)))
    deliveries = sa.select(Delivery.id).where(Delivery.event_id.in_(old))
    session.execute(sa.delete(Attempt).where(Attempt.delivery_id.in_(deliveries)))
    session.execute(sa.delete(Delivery).where(Delivery.event_id.in_(old)))
    session.execute(sa.delete(Event).where(Event.id.in_(old)))
    return len(old)


def remove_rest(session: Session, settings: Settings, now: datetime) -> int:
    """Remove some old quarantined items, audit entries, last senders, read marks and names of bulks.

    Returns how many items and entries it was.
    """
    if settings.retention_days == 0:
        return 0
    limit = now - timedelta(days=settings.retention_days)
    sticky_senders.forget(session, limit)
    read_marks.forget(session, limit)
    bulks.empty_names(session, limit)
    audit_count = audit_log.purge(session, settings, now)
    return audit_count + _remove_quarantined(session, limit)


def _remove_quarantined(session: Session, limit: datetime) -> int:
    """Remove old quarantined items, which contain numbers and texts too."""
    chosen = sa.select(QuarantinedItem.id).where(QuarantinedItem.received_at <= limit)
    old = list(session.scalars(chosen.order_by(QuarantinedItem.id).limit(_AT_ONCE)))
    session.execute(sa.delete(QuarantinedItem).where(QuarantinedItem.id.in_(old)))
    return len(old)
