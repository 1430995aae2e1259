"""Cancels and expires messages that no phone has."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import IllegalTransition
from ...sms import reasons, statuses
from ...store import audit
from ...store.db import Database
from ...store.models import Crm, Message
from ...store.queries import Query
from ..devices import queue as device_queue
from ..devices.capacity import moment
from .history import HistoryWriter

_EXPIRE_AT_ONCE = 500
_IS_OVERDUE = sa.and_(device_queue.IS_QUEUED, Message.expires_at <= moment("now"))
_OVERDUE = Query(
    str, sa.select(Message.id).where(_IS_OVERDUE).order_by(Message.expires_at).limit(1)
)


def cancel(session: Session, message: Message, now: datetime) -> None:
    """Cancel a message no phone has. Raises `IllegalTransition` once one has it or it has ended."""
    if message.direction != "outbound" or message.status != statuses.QUEUED:
        raise IllegalTransition(
            f"the message is {message.status}; only a queued one can be cancelled",
            details={"status": message.status},
        )
    _end(session, [message], statuses.CANCELLED, now)


def cancel_for_operator(session: Session, message: Message, now: datetime) -> None:
    """Cancel a message for a person instead of for its CRM, and audit that."""
    fields = {"status": [message.status, statuses.CANCELLED]}
    cancel(session, message, now)
    audit.note(session, "message", message.id, "cancel", fields=fields)


def cancel_queued(
    session: Session, crm: Crm, now: datetime, *which: sa.ColumnElement[bool]
) -> None:
    """Cancel the queued messages of this CRM that meet all of these conditions."""
    queued = sa.select(Message).where(Message.crm_id == crm.id, device_queue.IS_QUEUED, *which)
    messages = session.scalars(queued.order_by(Message.id).with_for_update())
    cancel_all(session, list(messages), now)


def cancel_all(session: Session, messages: Sequence[Message], now: datetime) -> None:
    """Cancel these queued messages, which must be locked."""
    _end(session, messages, statuses.CANCELLED, now)


def has_overdue(database: Database, now: datetime) -> bool:
    """Return whether a queued message has expired. Takes no lock."""
    return _OVERDUE.read(database, now=now) is not None


def expire_due(session: Session, now: datetime) -> int:
    """End queued messages whose time has passed, some hundred at a time; return how many."""
    overdue = (
        sa.select(Message)
        .where(_IS_OVERDUE)
        .order_by(Message.expires_at)
        .limit(_EXPIRE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    messages = list(session.scalars(overdue, {"now": now}))
    _end(session, messages, statuses.EXPIRED, now)
    return len(messages)


def fail_opted_out(session: Session, messages: Sequence[Message], history: HistoryWriter) -> None:
    """Fail these queued messages, which must be locked: their number has opted out, and they never go out."""
    fail_queued(session, messages, reasons.OPTED_OUT, reasons.PERMANENT, history)


def fail_queued(
    session: Session,
    messages: Sequence[Message],
    reason: str,
    reason_class: str,
    history: HistoryWriter,
) -> None:
    """Fail these queued messages, which must be locked."""
    for message in messages:
        message.status, message.updated_at = statuses.FAILED, history.now
        message.reason, message.reason_class = reason, reason_class
        history.note(message, statuses.FAILED, reason=reason)
        history.announce("message.failed", message, [message.crm_id or ""])
    session.flush()


def _end(session: Session, messages: Sequence[Message], status: str, now: datetime) -> None:
    history = HistoryWriter(now)
    for message in messages:
        message.status = status
        message.updated_at = now
        history.note(message, status)
        history.announce(f"message.{status}", message, [message.crm_id or ""])
    history.write(session)
