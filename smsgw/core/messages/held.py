"""Holds the queue of a restored backup until somebody releases it, because its messages may have been sent since.

Held messages queue in lanes that no phone takes from. They expire, and can be cancelled, as all others.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store import audit
from ...store.db import wake_up
from ...store.models import HistoryEntry, Message
from ...store.tables import plain
from ..devices import lanes
from . import endings

HELD = "held since a backup was restored or a copied database reopened: it may have been sent since"
RELEASED = "released"
# For PostgreSQL's programs, inside the transaction that restores a backup of any revision.
HOLD_ALL = (
    "UPDATE {schema}.messages SET lane = '" + lanes.HELD + "' || lane, updated_at = now() "
    f"WHERE status = '{statuses.QUEUED}' AND lane NOT LIKE '{lanes.HELD}%';"
)
_AT_ONCE = 500
_FIRST, _AFTER_LAST = lanes.RANGE_OF_HELD
_IS_QUEUED = Message.status == statuses.QUEUED
_IS_HELD = sa.and_(_IS_QUEUED, Message.lane >= _FIRST, Message.lane < _AFTER_LAST)


def hold_all(session: Session, now: datetime) -> int:
    """Hold all that is queued, and note it in the history of all that is held; return how many they are."""
    session.execute(
        sa.update(plain(Message))
        .where(_IS_QUEUED, sa.not_(_IS_HELD))
        .values(lane=lanes.HELD + Message.lane, updated_at=now)
    )
    _note(session, HELD, now, _IS_HELD)
    return count(session)


def count(session: Session) -> int:
    """Return how many messages are held."""
    return session.scalars(sa.select(sa.func.count(Message.id)).where(_IS_HELD)).one()


def since(session: Session) -> datetime | None:
    """Return since when the first of them is held, `None` if none is."""
    return session.scalars(sa.select(sa.func.min(Message.updated_at)).where(_IS_HELD)).one()


def release(
    session: Session, now: datetime, crm_id: str | None = None, before: datetime | None = None
) -> int:
    """Let phones take the held messages, or those of a CRM, or those queued before a time; return how many."""
    chosen = _chosen(crm_id, before)
    _note(session, RELEASED, now, chosen)
    found = sa.update(plain(Message)).where(chosen)
    released = session.execute(
        found.values(
            lane=sa.func.substr(Message.lane, len(lanes.HELD) + 1), updated_at=now
        ).returning(Message.id)
    ).all()
    wake_up(session)
    _audit(session, "release", len(released))
    return len(released)


def cancel(
    session: Session, now: datetime, crm_id: str | None = None, before: datetime | None = None
) -> int:
    """Cancel some hundred of the held messages that `release` would let go; return how many."""
    found = session.scalars(
        sa.select(Message)
        .where(_chosen(crm_id, before))
        .order_by(Message.id)
        .limit(_AT_ONCE)
        .with_for_update()
    ).all()
    for message in found:
        endings.cancel(session, message, now)
    _audit(session, "cancel", len(found))
    return len(found)


def _chosen(crm_id: str | None, before: datetime | None) -> sa.ColumnElement[bool]:
    return sa.and_(
        _IS_HELD,
        sa.true() if crm_id is None else Message.crm_id == crm_id,
        sa.true() if before is None else Message.created_at < before,
    )


def _note(session: Session, reason: str, now: datetime, which: sa.ColumnElement[bool]) -> None:
    rows = sa.select(
        Message.id,
        Message.status,
        sa.literal(reason),
        sa.literal(now, type_=Message.updated_at.type),
    ).where(which)
    names = ["message_id", "status", "reason", "at"]
    session.execute(sa.insert(plain(HistoryEntry)).from_select(names, rows, include_defaults=False))


def _audit(session: Session, action: str, number: int) -> None:
    if number:
        audit.note(session, "queue", "held", action, fields={"count": [None, number]})
