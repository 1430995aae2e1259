"""Estimates when messages will have been sent, by the limits of the phones that may send them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.models import Device
from ...store.rows import AnyCrm
from ..devices import limits, registry, routing
from . import ahead
from .ahead import Ahead


class SendingDevice(NamedTuple):
    """A device that may send for a CRM, whether it polls, and the most segments it is handed in each window."""

    device_id: str
    is_online: bool
    limits: limits.Limits


def devices(
    session: Session, crm: AnyCrm, settings: Settings, device_id: str | None, now: datetime
) -> list[SendingDevice]:
    """Return the enabled devices that may send for the CRM; with `device_id`, only this one."""
    usable = routing.device_ids_of(session, crm)
    wanted = [name for name in usable if device_id in (None, name)]
    return of(registry.several(session, wanted), settings, now)


def of(rows: Sequence[Device], settings: Settings, now: datetime) -> list[SendingDevice]:
    """Return those of these devices that are enabled."""
    return [_sending(row, settings, now) for row in rows if row.enabled]


def find_ahead(
    session: Session, sending: Sequence[SendingDevice], before: datetime | None = None
) -> Ahead:
    """Count what was queued before that time for the devices that poll."""
    return ahead.find(session, [one.device_id for one in sending if one.is_online], before)


def done_at(
    sending: Sequence[SendingDevice], segments: int, others: Ahead, begins_at: datetime
) -> datetime | None:
    """Return when the devices that poll will have been handed so many segments after those of others.

    `None` where none polls, or too many others wait to be counted. What counts against their limits already is not
    considered.
    """
    online = [device.limits for device in sending if device.is_online]
    if not online or not others.is_all:
        return None
    segments += others.segments
    return begins_at + max(_span(online, name, segments) for name in limits.WINDOWS)


def all_done_at(
    sending: Sequence[SendingDevice],
    waiting: Mapping[str | None, int],
    others: Ahead,
    begins_at: datetime,
) -> datetime | None:
    """Return the same for the segments that wait for each device, or for any of them (`None`)."""
    moments = [done_at(sending, sum(waiting.values()), others, begins_at)]
    for device_id, segments in waiting.items():
        only = [device for device in sending if device.device_id == device_id]
        moments += (
            [done_at(only, segments, Ahead(0, True), begins_at)] if device_id is not None else []
        )
    return None if None in moments else max(moment for moment in moments if moment is not None)


def _sending(row: Device, settings: Settings, now: datetime) -> SendingDevice:
    is_online = registry.is_online(row, now, settings.device_offline_seconds)
    return SendingDevice(row.id, is_online, limits.of(row, settings))


def _span(online: Sequence[limits.Limits], name: str, segments: int) -> timedelta:
    """Return for how long a limit holds up the last segment; one without end where any device has no such limit."""
    each = [one.find(name) for one in online]
    if None in each:
        return timedelta(0)
    together = sum(most for most in each if most is not None)
    return max(segments - 1, 0) // together * limits.WINDOWS[name]
