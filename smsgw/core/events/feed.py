"""Reads events in the order in which they became visible, and the positions from which readers continue."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import NotFound
from ...store.db import is_postgresql
from ...store.models import Crm, Event, FeedBase
from . import open_transactions

_NEWEST = (
    sa.select(Event.id)
    .where(Event.crm_id == Crm.id)
    .order_by(Event.tx.desc(), Event.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_POSITION = sa.select(Event.tx, Event.seq, Event.crm_id).where(Event.id == sa.bindparam("event_id"))


def page(session: Session, crm_id: str, after: str | None, limit: int) -> list[Event]:
    """Return the CRM's events after the event `after`, or all when it is `None`: oldest first, none ever skipped."""
    statement = sa.select(Event).where(Event.crm_id == crm_id).order_by(Event.tx, Event.seq)
    if after is not None:
        statement = statement.where(_is_after(session, crm_id, after))
    return list(session.scalars(statement.where(is_shown(session)).limit(limit)))


def page_of_all(session: Session, after: str | None, limit: int) -> list[Event]:
    """Return a page of the events of all CRMs, read by each CRM's index."""
    # One bound for all: a transaction that ends meanwhile is in the feed of none of them yet.
    shown = (
        [Event.tx < session.scalars(sa.select(_oldest_running())).one()]
        if is_postgresql(session)
        else []
    )
    if after is not None:
        shown.append(_is_after(session, None, after))
    keys = sa.select(Event.tx, Event.seq).where(*shown).order_by(Event.tx, Event.seq).limit(limit)
    crm_ids = session.scalars(sa.select(Crm.id)).all()
    found = [
        (row.tx, row.seq)
        for crm_id in crm_ids
        for row in session.execute(keys.where(Event.crm_id == crm_id))
    ]
    first = [seq for _, seq in sorted(found)[:limit]]
    rows = session.scalars(sa.select(Event).where(Event.seq.in_(first)))
    return sorted(rows, key=lambda row: (row.tx, row.seq))


def newest(session: Session) -> int:
    """Return a number that grows with each event, 0 before the first, to find out whether anything has happened."""
    return session.scalar(sa.select(sa.func.max(Event.seq))) or 0


def is_shown(session: Session) -> sa.ColumnElement[bool]:
    """Return the condition on `Event` that nothing before it in the feed can still become visible."""
    return Event.tx < _oldest_running() if is_postgresql(session) else sa.true()


def withheld_since(session: Session) -> datetime | None:
    """Return the time of the oldest event that the feed does not show yet, `None` if it shows all."""
    return session.scalar(sa.select(sa.func.min(Event.created_at)).where(~is_shown(session)))


def newest_ids(session: Session, crm_ids: Collection[str]) -> dict[str, str | None]:
    """Return each CRM's newest event, `None` where there is none; on PostgreSQL the feed may show it a moment later."""
    rows = session.execute(sa.select(Crm.id, _NEWEST).where(Crm.id.in_(crm_ids)))
    return dict(rows.all())


def last_shown(session: Session, crm_id: str) -> str | None:
    """Return the last event that the feed shows this CRM now. A reader that continues after it misses nothing."""
    newest = (
        sa.select(Event.id)
        .where(Event.crm_id == crm_id, is_shown(session))
        .order_by(Event.tx.desc(), Event.seq.desc())
        .limit(1)
    )
    return session.scalar(newest)


def following(session: Session, crm_id: str, after: str | None, limit: int) -> list[Event]:
    """Return the feed after a position that was valid; nothing if retention has removed all events since."""
    try:
        return page(session, crm_id, after, limit)
    except NotFound:
        return []


def _is_after(session: Session, crm_id: str | None, event_id: str) -> sa.ColumnElement[bool]:
    found = session.execute(_POSITION, {"event_id": event_id}).one_or_none()
    if found is not None and crm_id in (None, found.crm_id):
        return sa.tuple_(Event.tx, Event.seq) > sa.tuple_(found.tx, found.seq)
    if found is None and ids.is_id(event_id, "evt"):
        is_its = sa.true() if crm_id is None else Event.crm_id == crm_id
        oldest = session.scalar(sa.select(sa.func.min(Event.id)).where(is_its))
        if event_id < (oldest or ids.new_event_id()):
            return sa.true()  # retention has removed it, and everything that is left came later
    raise NotFound(f"no event {event_id[:80]!r}: leave out 'after' to begin with the oldest one")


def _oldest_running() -> sa.ColumnElement[int]:
    return open_transactions.OLDEST + sa.select(FeedBase.base).scalar_subquery()
