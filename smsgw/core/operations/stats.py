"""Counts messages by status since a given time, and queued messages, for one CRM or the whole server."""

from collections import defaultdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339, rfc3339_or_none
from ...settings import Settings
from ...sms import statuses
from ...store.models import Device, InboxEntry, Message
from ...store.rows import AnyCrm
from ..devices import queue as device_queue
from ..devices import registry, routing
from ..messages.filters import first_id_of


def of_crm(
    session: Session, crm: AnyCrm, settings: Settings, since: datetime, now: datetime
) -> dict[str, Any]:
    """Return the figures of one CRM, about its own messages and the devices it may use."""
    rows = registry.several(session, routing.device_ids_of(session, crm))
    outbound = _counts(session, since, Message.crm_id == crm.id)
    inbox = sa.select(Message.device_id, sa.func.count()).join(
        InboxEntry, InboxEntry.message_id == Message.id
    )
    received = inbox.where(
        InboxEntry.crm_id == crm.id, InboxEntry.message_id >= first_id_of(since)
    ).group_by(Message.device_id)
    outbound += [
        (device_id, statuses.RECEIVED, count) for device_id, count in session.execute(received)
    ]
    queue = _queue(session, now, Message.crm_id == crm.id)
    return _shape(session, outbound, queue, rows, settings, since, now)


def of_all(session: Session, settings: Settings, since: datetime, now: datetime) -> dict[str, Any]:
    """Return the figures of the whole server."""
    counts = _counts(session, since, sa.true())
    queue = _queue(session, now, sa.true())
    return _shape(session, counts, queue, registry.everyone(session), settings, since, now)


def _counts(
    session: Session, since: datetime, condition: sa.ColumnElement[bool]
) -> list[tuple[str | None, str, int]]:
    """Return how many messages each device has in each status; reads no more of the history than the time asked for."""
    rows = session.execute(
        sa.select(Message.device_id, Message.status, sa.func.count())
        .where(condition, Message.id >= first_id_of(since))
        .group_by(Message.device_id, Message.status)
    )
    return [(device_id, status, count) for device_id, status, count in rows]


def _queue(session: Session, now: datetime, condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    is_due = Message.due_at <= now
    queued, due, oldest = session.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(sa.case((is_due, 1))),
            sa.func.min(sa.case((is_due, Message.due_at))),
        ).where(device_queue.IS_QUEUED, condition)
    ).one()
    return {
        "queued_count": queued,
        "due_count": due,
        "oldest_due_at": rfc3339_or_none(oldest),
        "oldest_due_seconds": 0 if oldest is None else int((now - oldest).total_seconds()),
    }


def _shape(
    session: Session,
    counts: list[tuple[str | None, str, int]],
    queue: dict[str, Any],
    rows: list[Device],
    settings: Settings,
    since: datetime,
    now: datetime,
) -> dict[str, Any]:
    total = _empty()
    per_device: dict[str, dict[str, int]] = defaultdict(_empty)
    for device_id, status, count in counts:
        total[status] += count
        if device_id is not None:
            per_device[device_id][status] += count
    shapes = registry.shapes(session, rows, settings, now)
    return {
        "since": rfc3339(since),
        "messages": total,
        "queue": queue,
        "devices": [
            {
                "device_id": shape["device_id"],
                "online": shape["online"],
                "last_seen_at": shape["last_seen_at"],
                "queued_count": shape["queued_count"],
                "in_flight_count": shape["in_flight_count"],
                "messages": per_device[shape["device_id"]],
            }
            for shape in shapes
        ],
    }


def _empty() -> dict[str, int]:
    return dict.fromkeys((*statuses.OUTBOUND, *statuses.INBOUND), 0)
