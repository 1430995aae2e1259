"""Reads counts and ages for a scrape of the metrics, each from an index alone or a small table."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import statuses
from ...store.models import (
    Delivery,
    Device,
    Dispatch,
    Message,
    QuarantinedItem,
    WebhookEndpoint,
    WorkerHeartbeat,
)
from ..devices import capacity, limit_states, limits, pauses, registry, silence_rules, silences
from ..webhooks.delivery_statuses import IS_PENDING
from . import backlog


@dataclass(frozen=True)
class WaitingQueue:
    """One queue, by the name of its lane; the age is that of the message that has been due longest."""

    name: str
    queued_count: int
    oldest_seconds: float


@dataclass(frozen=True)
class Seen:
    """One device: `silent_seconds` is `None` when it was never seen."""

    device_id: str
    is_enabled: bool
    silent_seconds: float | None
    in_flight_count: int
    unknown_report_count: int
    quarantine_dropped_count: int


@dataclass(frozen=True)
class Limited:
    """One device with one of its limits: `name` is one of `limits.NAMES`."""

    device_id: str
    name: str
    limit: int
    used: int


@dataclass(frozen=True)
class Figures:
    """All figures at one moment. `worker_silent_seconds` is `None` when no worker was seen."""

    messages: dict[tuple[str, str], int]
    queues: list[WaitingQueue]
    devices: list[Seen]
    limits: list[Limited]
    paused_seconds: dict[str, float]
    silences: dict[tuple[str, str], bool]
    stuck_count: int
    pending_deliveries: int
    overdue_deliveries: int
    disabled_endpoints: int
    quarantined_count: int
    worker_silent_seconds: float | None
    webhook_attempts: dict[tuple[str, str], int]


def read(session: Session, settings: Settings, now: datetime) -> Figures:
    """Return the figures as they are now."""
    devices = registry.everyone(session)
    enabled = [device for device in devices if device.enabled]
    pending, overdue = _deliveries(session, now)
    return Figures(
        messages=_messages(session),
        queues=_queues(session, now),
        devices=_devices(session, now),
        limits=list(_limits(session, devices, settings, now)),
        paused_seconds={
            device.id: pauses.seconds_left(device.paused_until, now) for device in enabled
        },
        silences=_silences(session, enabled),
        stuck_count=_count(session, capacity.is_active(), Dispatch.stuck_at.is_not(None)),
        pending_deliveries=pending,
        overdue_deliveries=overdue,
        disabled_endpoints=_count(
            session, WebhookEndpoint.removed_at.is_(None), ~WebhookEndpoint.enabled
        ),
        quarantined_count=session.scalar(sa.select(sa.func.count(QuarantinedItem.id))) or 0,
        worker_silent_seconds=worker_silent_seconds(session, now),
        webhook_attempts=_webhook_attempts(session),
    )


def worker_silent_seconds(session: Session, now: datetime) -> float | None:
    """Return how long ago a worker was last seen; `None` when none ever was."""
    return _age(session.scalar(sa.select(sa.func.max(WorkerHeartbeat.last_seen_at))), now)


def _webhook_attempts(session: Session) -> dict[tuple[str, str], int]:
    rows = session.execute(
        sa.select(WorkerHeartbeat.id, WorkerHeartbeat.webhook_attempts).order_by(WorkerHeartbeat.id)
    )
    return {
        (worker_id, outcome): count
        for worker_id, counts in rows
        for outcome, count in sorted(counts.items())
    }


def _messages(session: Session) -> dict[tuple[str, str], int]:
    # Inbound messages have a separate status, so an index on the status tells the direction too.
    rows = session.execute(sa.select(Message.status, sa.func.count()).group_by(Message.status))
    return {
        ("inbound" if status == statuses.RECEIVED else "outbound", status): count
        for status, count in rows
    }


def _queues(session: Session, now: datetime) -> list[WaitingQueue]:
    return [
        WaitingQueue(lane.name, lane.queued_count, _age(lane.oldest_due_at, now) or 0.0)
        for lane in sorted(backlog.read(session, now).lanes)
    ]


def _devices(session: Session, now: datetime) -> list[Seen]:
    held = session.execute(
        sa.select(Dispatch.device_id, sa.func.count())
        .where(capacity.is_in_flight(now))
        .group_by(Dispatch.device_id)
    )
    in_flight = {row[0]: row[1] for row in held}
    rows = session.execute(
        sa.select(
            Device.id,
            Device.enabled,
            Device.last_seen_at,
            Device.unknown_report_count,
            Device.quarantine_dropped_count,
        )
        .where(Device.removed_at.is_(None))
        .order_by(Device.id)
    )
    return [
        Seen(device_id, is_enabled, _age(seen_at, now), in_flight.get(device_id, 0), *counts)
        for device_id, is_enabled, seen_at, *counts in rows
    ]


def _limits(
    session: Session, devices: list[Device], settings: Settings, now: datetime
) -> Iterator[Limited]:
    for device, used in zip(
        devices, limit_states.used(session, devices, settings, now), strict=True
    ):
        counts = limits.of(device, settings)
        for name, count in used.items():
            limit = counts.find(name)
            if limit is not None and count is not None:
                yield Limited(device.id, name, limit, count)


def _silences(session: Session, devices: list[Device]) -> dict[tuple[str, str], bool]:
    found = silences.of_devices(session, [device.id for device in devices])
    return {
        (device.id, reason): any(one.reason == reason for one in found.get(device.id, []))
        for device in devices
        for reason in silence_rules.REASONS
    }


def _deliveries(session: Session, now: datetime) -> tuple[int, int]:
    is_overdue = sa.case((Delivery.next_attempt_at <= now, 1))
    pending, overdue = session.execute(
        sa.select(sa.func.count(), sa.func.count(is_overdue)).where(IS_PENDING)
    ).one()
    return int(pending), int(overdue)


def _count(session: Session, *conditions: sa.ColumnElement[bool]) -> int:
    return session.scalar(sa.select(sa.func.count()).where(*conditions)) or 0


def _age(moment: Any, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()
