"""Shows how much of its limits each device has used, and until when a limit or a pause keeps messages from it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from ...clock import rfc3339_or_none
from ...settings import Settings
from ...store.models import Device, Message
from . import limits, monthly_recipients, pauses, usage
from .limits import NAMES, RECIPIENTS, WINDOWS, Limits

SEGMENTS_PER_MINUTE = "segments_per_minute"
_SPANS = {
    "segments_per_minute": "60 seconds",
    "segments_per_hour": "60 minutes",
    "segments_per_day": "24 hours",
}
_COUNTING_TAKES = timedelta(minutes=1)
# What a device has used of each limit; `None` where there is none.
_Used = Mapping[str, int | None]


class Hold(NamedTuple):
    """Until when a device gets no message, and why: words that follow its name."""

    until: datetime
    text: str


def shapes(
    session: Session, rows: Sequence[Device], settings: Settings, now: datetime
) -> list[dict[str, Any]]:
    """Return `limits`, `usage`, `limited_until` and `limited_reason` of each device, as REST shows them."""
    return [
        _shape(session, row, settings, counted, now)
        for row, counted in zip(rows, used(session, rows, settings, now), strict=True)
    ]


def held(session: Session, rows: Sequence[Device], settings: Settings, now: datetime) -> set[str]:
    """Return the names of the devices whose `limited_until` is set, without calculating it."""
    return {
        row.id
        for row, counted in zip(rows, used(session, rows, settings, now), strict=True)
        if pauses.is_paused(row.paused_until, now) or _is_full(limits.of(row, settings), counted)
    }


def find_hold(
    session: Session,
    device: Device,
    settings: Settings,
    now: datetime,
    message: Message | None = None,
) -> Hold | None:
    """Return the last hold to end that keeps this message, or any message, from the device; `None` if there is none."""
    (counted,) = used(session, [device], settings, now)
    counts = limits.of(device, settings)
    return _last(_holds(session, device, counts, counted, now, message))


def find_long_holds(
    session: Session, rows: Sequence[Device], settings: Settings, now: datetime
) -> list[Hold | None]:
    """Return `find_hold` of each device for any message; limits per minute are left out, because they end soon."""
    counts = used(session, rows, settings, now, but=SEGMENTS_PER_MINUTE)
    return [
        _last(_holds(session, row, limits.of(row, settings), counted, now))
        for row, counted in zip(rows, counts, strict=True)
    ]


def used(
    session: Session,
    rows: Sequence[Device],
    settings: Settings,
    now: datetime,
    *,
    but: str | None = None,
) -> list[dict[str, int | None]]:
    """Return what each device has used of its limits, by name; `None` where there is no limit, and for limit `but`."""
    counts = {row.id: limits.of(row, settings) for row in rows}
    limited = {
        name: {device_id for device_id, own in counts.items() if own.find(name) is not None}
        for name in NAMES
        if name != but
    }
    found = usage.of_devices(session, limited, now)
    return [
        {name: found[name, row.id] if row.id in limited.get(name, ()) else None for name in NAMES}
        for row in rows
    ]


def _shape(
    session: Session, device: Device, settings: Settings, counted: _Used, now: datetime
) -> dict[str, Any]:
    counts = limits.of(device, settings)
    hold = _last(_holds(session, device, counts, counted, now))
    return {
        "limits": limits.own(device),
        "usage": {name: {"limit": counts.find(name), "used": counted[name]} for name in NAMES},
        "limited_until": rfc3339_or_none(hold and hold.until),
        "limited_reason": hold and hold.text,
    }


def _is_full(counts: Limits, counted: _Used) -> bool:
    pairs = ((counts.find(name), counted[name]) for name in NAMES)
    return any(most is not None and used is not None and used >= most for most, used in pairs)


def _holds(
    session: Session,
    device: Device,
    counts: Limits,
    counted: _Used,
    now: datetime,
    message: Message | None = None,
) -> Iterator[Hold]:
    if pauses.is_paused(device.paused_until, now) and device.paused_until is not None:
        text = f"is paused, because a message failed with {device.pause_reason or 'a limit'!r}"
        yield Hold(device.paused_until, text)
    yield from _full_windows(session, device, counts, counted, now, message)
    most, count = counts.recipients_per_month, counted[RECIPIENTS]
    if most is None or count is None:
        return
    month = limits.month_of(now)
    is_counting = device.counted_month != month and message is not None
    if count < most and not is_counting:
        return
    if message is None or not monthly_recipients.is_known(session, device, message.to_number, now):
        _, ends_at = limits.bounds_of(month)
        if count >= most:
            yield Hold(ends_at, f"has used {count:,} of {most:,} recipients this month")
        else:
            yield Hold(
                now + _COUNTING_TAKES, "waits until its recipients of this month are counted"
            )


def _full_windows(
    session: Session,
    device: Device,
    counts: Limits,
    counted: _Used,
    now: datetime,
    message: Message | None,
) -> Iterator[Hold]:
    for name, window in WINDOWS.items():
        most, count = counts.find(name), counted[name]
        if most is None or count is None:
            continue
        wanted = 1 if message is None else min(message.segments, most)
        if count + wanted > most:
            until = usage.free_at(session, device.id, window, count + wanted - most, now)
            text = f"has used {count:,} of {most:,} segments in the last {_SPANS[name]}"
            if message is not None and count < most:
                text += f" and the message needs {message.segments}"
            yield Hold(until, text)


def _last(holds: Iterator[Hold]) -> Hold | None:
    return max(holds, default=None)
