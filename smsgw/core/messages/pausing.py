"""Pauses and resumes the messages of a bulk, in steps that a worker completes if they are interrupted.

Paused messages queue in lanes that no phone takes from, so that handing out costs no more. They expire and can be
cancelled as usual. A message that a phone has is not stopped, but its lane is paused, so that it waits if it is queued
again.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339
from ...sms import statuses
from ...store import audit
from ...store.db import Database, wake_up
from ...store.models import Bulk, BulkMessage, Message
from ...store.queries import Query
from ...store.tables import plain
from ..devices import lanes

# A step holds SQLite's write lock for some 50 ms.
STEP = 500
_MAY_QUEUE_AGAIN = (*statuses.UNFINISHED, statuses.FAILED, statuses.EXPIRED)
_BOTH = lanes.HELD + lanes.PAUSED
_IS_PAUSED = sa.or_(Message.lane.startswith(lanes.PAUSED), Message.lane.startswith(_BOTH))
_IS_HELD = Message.lane.startswith(lanes.HELD)
_MOVING = Query(
    str, sa.select(Bulk.id).where(Bulk.moved_count.is_not(None)).order_by(Bulk.id).limit(1)
)


def pause(session: Session, bulk: Bulk, person: str, now: datetime) -> bool:
    """Pause the bulk: once `move` has moved all rows, no phone gets any of them. Return whether it was not paused."""
    session.refresh(bulk, with_for_update=True)
    if bulk.paused_at is not None:
        return False
    bulk.paused_at, bulk.paused_by, bulk.moved_count = now, person, 0
    audit.note(session, "bulk", bulk.id, "pause", fields={"paused_at": [None, rfc3339(now)]})
    return True


def resume(session: Session, bulk: Bulk) -> bool:
    """Resume the bulk, so that phones get the rest of it; return whether it was paused."""
    session.refresh(bulk, with_for_update=True)
    if bulk.paused_at is None:
        return False
    fields = {"paused_at": [rfc3339(bulk.paused_at), None]}
    audit.note(session, "bulk", bulk.id, "resume", fields=fields)
    bulk.paused_at, bulk.paused_by, bulk.moved_count = None, None, 0
    return True


def move(session: Session, bulk_id: str, now: datetime) -> bool:
    """Move the next rows into paused lanes, or back, as the bulk is now; return whether there are more."""
    bulk = session.get_one(Bulk, bulk_id, with_for_update=True, populate_existing=True)
    if bulk.moved_count is None:
        return False
    end = bulk.moved_count + STEP
    rows = sa.select(BulkMessage.message_id).where(
        BulkMessage.bulk_id == bulk_id,
        BulkMessage.position >= bulk.moved_count,
        BulkMessage.position < end,
    )
    change = _resume_messages if bulk.paused_at is None else pause_messages
    change(session, session.scalars(rows).all(), now)
    bulk.moved_count = end if end < bulk.row_count else None
    return bulk.moved_count is not None


def pause_messages(session: Session, message_ids: Sequence[str], now: datetime) -> None:
    """Pause those of these messages that are queued or may be queued again."""
    paused = sa.case(
        (_IS_HELD, _BOTH + sa.func.substr(Message.lane, len(lanes.HELD) + 1)),
        else_=lanes.PAUSED + Message.lane,
    )
    _update(session, message_ids, sa.not_(_IS_PAUSED), paused, now)


def has_more(database: Database, now: datetime) -> bool:
    """Return whether a bulk was paused or resumed and not all of its rows are moved yet."""
    return _MOVING.read(database) is not None


def move_next(session: Session, now: datetime) -> bool:
    """Move some rows of a bulk that was paused or resumed; return whether there may be more."""
    bulk_id = _MOVING.find(session)
    if bulk_id is None:
        return False
    move(session, bulk_id, now)
    return True


def _resume_messages(session: Session, message_ids: Sequence[str], now: datetime) -> None:
    resumed = sa.case(
        (_IS_HELD, lanes.HELD + sa.func.substr(Message.lane, len(_BOTH) + 1)),
        else_=sa.func.substr(Message.lane, len(lanes.PAUSED) + 1),
    )
    _update(session, message_ids, _IS_PAUSED, resumed, now)
    wake_up(session)


def _update(
    session: Session,
    message_ids: Sequence[str],
    condition: sa.ColumnElement[bool],
    lane: sa.ColumnElement[str],
    now: datetime,
) -> None:
    wanted = (Message.id.in_(message_ids), Message.status.in_(_MAY_QUEUE_AGAIN), condition)
    # In one order everywhere, so that two transactions wait for each other and do not deadlock.
    locked = sa.select(Message.id).where(*wanted).order_by(Message.id).with_for_update()
    found = session.scalars(locked).all()
    if found:
        # For its readers, a message that a phone has did not change.
        since = sa.case((Message.status == statuses.QUEUED, now), else_=Message.updated_at)
        change = sa.update(plain(Message)).where(Message.id.in_(found))
        session.execute(change.values(lane=lane, updated_at=since))
