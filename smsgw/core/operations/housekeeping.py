"""Marks stuck messages, forgets old requests and notes the worker's heartbeat, every few seconds."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.models import Dispatch, Message, WorkerHeartbeat
from ...store.queries import Query
from ...store.tables import plain
from ..accounts import idempotency, rate_limits
from ..devices import capacity
from ..devices.capacity import moment
from ..messages.history import HistoryWriter

ACCEPTED_IS_STUCK_AFTER = timedelta(hours=14)
SENDING_IS_STUCK_AFTER = timedelta(hours=24)
_AT_ONCE = 500
_UPDATE_HEARTBEAT = Query(
    str,
    sa.update(plain(WorkerHeartbeat))
    .where(WorkerHeartbeat.id == sa.bindparam("worker_id"))
    .values(
        {
            WorkerHeartbeat.last_seen_at: moment("now"),
            WorkerHeartbeat.webhook_attempts: sa.bindparam("attempts", type_=sa.JSON),
        }
    )
    .returning(WorkerHeartbeat.id),
)


def mark_stuck(session: Session, now: datetime) -> int:
    """Mark messages that a phone has had for too long, and announce each once; nothing is resent by itself."""
    rows = session.execute(
        sa.select(Dispatch, Message)
        .join(Message, Message.id == Dispatch.message_id)
        .where(
            capacity.is_active(),
            Dispatch.stuck_at.is_(None),
            sa.or_(
                sa.and_(
                    Dispatch.status.in_([statuses.DISPATCHED, statuses.ACCEPTED]),
                    Dispatch.acknowledged_at.is_not(None),
                    Dispatch.status_at <= now - ACCEPTED_IS_STUCK_AFTER,
                ),
                sa.and_(
                    Dispatch.status == statuses.SENDING,
                    Dispatch.status_at <= now - SENDING_IS_STUCK_AFTER,
                ),
            ),
        )
        .order_by(Message.id)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    history = HistoryWriter(now)
    for dispatch, message in rows:
        dispatch.stuck_at = now
        if dispatch.superseded_at is not None or message.status != dispatch.status:
            continue
        message.stuck_at = message.updated_at = now
        history.note(message, "stuck", dispatch=dispatch)
        history.announce("message.stuck", message, [message.crm_id or ""])
    history.write(session)
    return len(rows)


def forget_requests(session: Session, now: datetime) -> None:
    """Remove answers to `Idempotency-Key`s, and counts of requests, that are older than a day."""
    idempotency.forget_old(session, now)
    rate_limits.forget_unused(session, now)


def forget_workers(session: Session, now: datetime) -> None:
    """Remove workers that were not seen for a day."""
    session.execute(
        sa.delete(WorkerHeartbeat).where(WorkerHeartbeat.last_seen_at <= now - timedelta(days=1))
    )


def note_heartbeat(
    session: Session, worker_id: str, now: datetime, attempts: dict[str, int] | None = None
) -> None:
    """Note that this worker is alive, and its webhook requests so far."""
    counts = attempts or {}
    if not _UPDATE_HEARTBEAT.all(session, worker_id=worker_id, now=now, attempts=counts):
        session.add(
            WorkerHeartbeat(id=worker_id, started_at=now, last_seen_at=now, webhook_attempts=counts)
        )
