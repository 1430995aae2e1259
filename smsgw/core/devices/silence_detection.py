"""Finds devices that no longer send, receive or report, and announces once when that begins and once when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.models import Device, DeviceSilence, Dispatch, Message
from ...store.queries import Query, written_out
from ..events import recording
from . import capacity, lanes, protocols, registry, routing, silences
from . import queue as device_queue
from . import silence_rules as rules
from .capacity import DEVICE_ID
from .silence_rules import Handed, Online

MOST_AT_ONCE = 100
_HANDED = (
    sa.select(*(getattr(Dispatch, name) for name in Handed._fields))
    .where(Dispatch.device_id == DEVICE_ID)
    .order_by(Dispatch.last_handed_out_at.desc())
)
_NEWEST = Query(Handed, _HANDED.limit(100))
_OLD_ENOUGH = Query(
    Handed, _HANDED.where(Dispatch.last_handed_out_at <= capacity.moment("until")).limit(200)
)
_RECEIVED = Query(
    datetime,
    sa.select(Message.created_at)
    .where(Message.device_id == DEVICE_ID, Message.direction == written_out("inbound"))
    .order_by(Message.id.desc())
    .limit(10),
)


@dataclass(frozen=True)
class Transition:
    """A silence that begins or ends."""

    device_id: str
    reason: str
    since: datetime
    begins: bool


@dataclass(frozen=True)
class _Activity:
    """The latest acts of a device, newest first."""

    device: Device
    handed: list[Handed]
    received: list[datetime]


def has_changes(session: Session, settings: Settings, now: datetime) -> bool:
    """Return whether `announce_changes` would find a device. Reads some rows of each device, without a lock."""
    return bool(_changes(session, settings, now))


def announce_changes(session: Session, settings: Settings, now: datetime) -> int:
    """Announce `device.silent` once when a device no longer does something, and `device.recovered` when it does.

    Some at a time; returns how many.
    """
    names = {change.device_id for change in _changes(session, settings, now)}
    locked = session.scalars(
        sa.select(Device)
        .where(Device.id.in_(sorted(names)[:MOST_AT_ONCE]))
        .order_by(Device.id)
        .with_for_update(skip_locked=True, key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    session.expire_all()
    devices = {device.id: device for device in locked}
    # Once more, because another worker may have announced them before the lock.
    changes = [one for one in _changes(session, settings, now) if one.device_id in devices]
    for change in changes:
        _write(session, change, now)
    session.flush()
    recording.record(session, _events(session, devices, changes, settings, now), now)
    return len(changes)


def _changes(session: Session, settings: Settings, now: datetime) -> list[Transition]:
    devices = [one for one in registry.everyone(session) if one.enabled and one.approved]
    known = silences.of_devices(session, [device.id for device in devices])
    loads = capacity.loads(session, now)
    activities = [
        _Activity(
            device,
            _NEWEST.all(session, device_id=device.id),
            _RECEIVED.all(session, device_id=device.id),
        )
        for device in devices
    ]
    receiving_since = now - timedelta(days=settings.silent_receiving_days)
    receiving = {one.device.id for one in activities if one.received[:1] > [receiving_since]}
    changes: list[Transition] = []
    for activity in activities:
        device = activity.device
        load = loads.get(device.id)
        is_full = load is not None and load.in_hand >= settings.in_flight_per_device
        begun = {
            rules.NOT_SENDING: _not_sending(session, activity, is_full, settings, now),
            rules.NOT_RECEIVING: _not_receiving(activity, receiving - {device.id}, settings, now),
            rules.NO_DELIVERY_REPORTS: rules.unreported_since(
                _OLD_ENOUGH.all(session, device_id=device.id, until=now - rules.REPORTS_TAKE)
            ),
        }
        stand = {silence.reason: silence for silence in known.get(device.id, [])}
        changes += [
            Transition(device.id, reason, since, begins=True)
            for reason, since in begun.items()
            if since is not None and reason not in stand
        ]
        changes += [
            Transition(device.id, silence.reason, silence.since, begins=False)
            for silence in stand.values()
            if _has_ended(silence, activity, settings)
        ]
    return changes


def _not_sending(
    session: Session, activity: _Activity, is_full: bool, settings: Settings, now: datetime
) -> datetime | None:
    device = activity.device
    if device.online_since is None:
        return None
    if not registry.is_online(device, now, settings.device_offline_seconds):
        return None
    since = max(device.online_since, device.reset_at or device.online_since)
    online = Online(since, _waiting_since(session, device, now), is_full)
    # A phone that polls rarely confirms late.
    patience = max(rules.UNMOVED_AFTER, timedelta(seconds=2 * settings.device_offline_seconds))
    return rules.sends_nothing_since(activity.handed, online, patience, now)


def _waiting_since(session: Session, device: Device, now: datetime) -> datetime | None:
    """Return since when the oldest message waits for a device that is online without the socket it fetches them by."""
    if device.protocol == protocols.CHT or device.socket_id is not None:
        return None
    return session.scalar(
        sa.select(sa.func.min(Message.due_at)).where(
            device_queue.IS_QUEUED,
            Message.lane == lanes.of_only_device(device.id),
            Message.due_at <= now,
            routing.is_for_device(sa.literal(device.id)),
        )
    )


def _not_receiving(
    activity: _Activity, others: set[str], settings: Settings, now: datetime
) -> datetime | None:
    if settings.silent_receiving_days == 0 or not others:
        return None
    limit = timedelta(days=settings.silent_receiving_days)
    return rules.receives_nothing_since(activity.received, activity.handed, limit, now)


def _has_ended(silence: DeviceSilence, activity: _Activity, settings: Settings) -> bool:
    """Return whether the device has sent, received or reported again; being offline or idle does not end a silence."""
    if silence.reason == rules.NOT_SENDING:
        reset_at = activity.device.reset_at
        if reset_at is not None and reset_at >= silence.announced_at:
            return True
        last = rules.last_sign(activity.handed)
    elif silence.reason == rules.NOT_RECEIVING:
        if settings.silent_receiving_days == 0:
            return True
        last = next(iter(activity.received), None)
    else:
        last = rules.last_reported(activity.handed)
    return last is not None and last > silence.since


def _write(session: Session, change: Transition, now: datetime) -> None:
    if change.begins:
        session.add(
            DeviceSilence(
                device_id=change.device_id,
                reason=change.reason,
                since=change.since,
                announced_at=now,
            )
        )
    else:
        session.delete(session.get_one(DeviceSilence, (change.device_id, change.reason)))


def _events(
    session: Session,
    devices: dict[str, Device],
    changes: Sequence[Transition],
    settings: Settings,
    now: datetime,
) -> list[recording.NewEvent]:
    names = sorted({change.device_id for change in changes})
    shapes: dict[str, dict[str, Any]] = {
        shape["device_id"]: shape
        for shape in registry.shapes(session, [devices[name] for name in names], settings, now)
    }
    crm_ids = {name: routing.ids_for_device(session, name) for name in names}
    return [
        recording.NewEvent(
            "device.silent" if change.begins else "device.recovered",
            crm_id,
            {**shapes[change.device_id], **silences.shape(change.reason, change.since)},
            device_id=change.device_id,
        )
        for change in changes
        for crm_id in crm_ids[change.device_id]
    ]
