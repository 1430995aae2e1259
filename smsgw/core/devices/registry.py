"""Finds devices and shows them as JSON."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339, rfc3339_or_none
from ...errors import NotFound
from ...settings import Settings
from ...store.models import Device, Dispatch, Message
from . import capacity, lanes, limit_states, protocols, silences
from . import queue as device_queue

_THERE = sa.select(Device).where(Device.removed_at.is_(None)).order_by(Device.id)


def get(session: Session, device_id: str) -> Device:
    """Return the device with that name. Raises `NotFound` when there is none."""
    device = find(session, device_id)
    if device is None:
        raise NotFound(f"no device {device_id[:80]!r}")
    return device


def find(session: Session, device_id: str) -> Device | None:
    """Return the device with that name, `None` when there is none."""
    # PostgreSQL refuses a parameter with NUL in it.
    device = None if "\0" in device_id else session.get(Device, device_id)
    return None if device is None or device.removed_at is not None else device


def lock_any(session: Session, device_id: str) -> Device | None:
    """Return the device that has or had that name, locked until the commit; `None` when there was none."""
    return None if "\0" in device_id else session.get(Device, device_id, with_for_update=True)


def count_ever(session: Session) -> int:
    """Return how many devices there are or were, removed ones included."""
    return session.scalar(sa.select(sa.func.count()).select_from(Device)) or 0


def everyone(session: Session) -> list[Device]:
    """Return all devices that were not removed, by name."""
    return list(session.scalars(_THERE))


def several(session: Session, device_ids: Sequence[str]) -> list[Device]:
    """Return those of these devices that exist, by name."""
    return list(session.scalars(_THERE.where(Device.id.in_(device_ids))))


def is_online(device: Device, now: datetime, offline_seconds: int) -> bool:
    """Return whether the device was seen within `offline_seconds`, or within the time of its protocol."""
    limit = timedelta(
        seconds=protocols.offline_seconds(
            device.protocol, offline_seconds, device.socket_id is not None
        )
    )
    return device.last_seen_at is not None and device.last_seen_at > now - limit


def shapes(
    session: Session, rows: list[Device], settings: Settings, now: datetime
) -> list[dict[str, Any]]:
    """Return the devices as REST shows them, with their queues, the messages they have in hand, and their limits."""
    queued = _queued_counts(session, [row.id for row in rows])
    in_flight = _counts(
        session,
        sa.select(Dispatch.device_id, sa.func.count()).where(
            Dispatch.device_id.in_([row.id for row in rows]), capacity.is_in_flight(now)
        ),
        Dispatch.device_id,
    )
    silent = silences.of_devices(session, [row.id for row in rows])
    return [
        {
            "device_id": row.id,
            "phone": row.phone,
            "enabled": row.enabled,
            "online": is_online(row, now, settings.device_offline_seconds),
            "last_seen_at": rfc3339_or_none(row.last_seen_at),
            "app_version": row.app_version,
            "queued_count": queued[row.id],
            "in_flight_count": in_flight.get(row.id, 0),
            "unknown_report_count": row.unknown_report_count,
            "silences": [silences.shape(one.reason, one.since) for one in silent.get(row.id, [])],
            **limited,
            "created_at": rfc3339(row.created_at),
        }
        for row, limited in zip(
            rows, limit_states.shapes(session, rows, settings, now), strict=True
        )
    ]


def _queued_counts(session: Session, device_ids: Sequence[str]) -> dict[str, int]:
    """Count what is queued for each of the devices by name, held and paused messages too."""
    found = _counts(
        session,
        sa.select(Message.lane, sa.func.count()).where(
            device_queue.IS_QUEUED,
            Message.lane.in_([lane for name in device_ids for lane in lanes.of_device(name)]),
        ),
        Message.lane,
    )
    return {name: sum(found.get(lane, 0) for lane in lanes.of_device(name)) for name in device_ids}


def _counts(session: Session, statement: Any, by: Any) -> dict[str, int]:
    return {str(key): int(count) for key, count in session.execute(statement.group_by(by))}
