"""Marks stuck messages, removes old data and notes the worker's heartbeat, every few seconds."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import statuses
from ...store.models import (
    Attempt,
    Delivery,
    Dispatch,
    Event,
    HistoryEntry,
    Message,
    QuarantinedItem,
    WorkerHeartbeat,
)
from ..accounts import audit_log, idempotency, rate_limits
from ..devices import capacity
from ..messages import sticky_senders
from ..messages.history import HistoryWriter

ACCEPTED_IS_STUCK_AFTER = timedelta(hours=14)
SENDING_IS_STUCK_AFTER = timedelta(hours=24)
_AT_ONCE = 500


def mark_stuck(session: Session, now: datetime) -> int:
    """Mark what a phone has had for too long, and tell its CRM once; nothing is sent again by itself."""
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


def purge(session: Session, settings: Settings, now: datetime) -> int:
    """Remove what is older than the retention time, some hundred at a time; return how many it was.

    A message keeps its row without numbers and text: its ids must never be taken for new ones.
    """
    if settings.retention_days == 0:
        return 0
    limit = now - timedelta(days=settings.retention_days)
    old = list(
        session.scalars(
            sa.select(Message.id)
            .where(
                Message.created_at <= limit,
                Message.purged_at.is_(None),
                Message.status.not_in(statuses.UNFINISHED),
            )
            .order_by(Message.id)
            .limit(_AT_ONCE)
        )
    )
    session.execute(sa.delete(HistoryEntry).where(HistoryEntry.message_id.in_(old)))
    session.execute(
        sa.update(Message)
        .where(Message.id.in_(old))
        .values(
            content=None,
            from_number=None,
            to_number=None,
            metadata_=None,
            text_hash=None,
            purged_at=now,
        )
    )
    _purge_events(session, limit)
    sticky_senders.forget(session, limit)
    audit_count = audit_log.purge(session, settings, now)
    return len(old) + _purge_quarantine(session, limit) + audit_count


def forget_requests(session: Session, now: datetime) -> None:
    """Remove what was answered under an `Idempotency-Key` longer than a day ago, and count that long unused."""
    idempotency.forget_old(session, now)
    rate_limits.forget_unused(session, now)


def note_heartbeat(session: Session, worker_id: str, now: datetime) -> None:
    """Note that this worker is alive, and forget workers that were not seen for a day."""
    heartbeat = session.get(WorkerHeartbeat, worker_id)
    if heartbeat is None:
        session.add(WorkerHeartbeat(id=worker_id, started_at=now, last_seen_at=now))
    else:
        heartbeat.last_seen_at = now
    session.execute(
        sa.delete(WorkerHeartbeat).where(WorkerHeartbeat.last_seen_at <= now - timedelta(days=1))
    )


def _purge_events(session: Session, limit: datetime) -> None:
    old = list(
        session.scalars(
            sa.select(Event.id)
            .where(Event.created_at <= limit)
            .order_by(Event.created_at)
            .limit(10 * _AT_ONCE)
        )
    )
    deliveries = sa.select(Delivery.id).where(Delivery.event_id.in_(old))
    session.execute(sa.delete(Attempt).where(Attempt.delivery_id.in_(deliveries)))
    session.execute(sa.delete(Delivery).where(Delivery.event_id.in_(old)))
    session.execute(sa.delete(Event).where(Event.id.in_(old)))


def _purge_quarantine(session: Session, limit: datetime) -> int:
    """Remove old quarantined items, which contain numbers and texts too."""
    old = list(
        session.scalars(
            sa.select(QuarantinedItem.id)
            .where(QuarantinedItem.received_at <= limit)
            .order_by(QuarantinedItem.id)
            .limit(_AT_ONCE)
        )
    )
    session.execute(sa.delete(QuarantinedItem).where(QuarantinedItem.id.in_(old)))
    return len(old)
