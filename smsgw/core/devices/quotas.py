"""Calculates how many messages, segments and recipients a device may be handed now, and from which queues.

Its free places, its limits and a pause after failures all count. A dispatch that is handed out again within an hour or
a day is not counted a second time for that window.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from ...settings import Settings
from ...store.models import Device, Dispatch
from ...store.number_hashes import number_hash
from ...store.queries import Query
from . import limits, pauses, queue, usage
from .capacity import DEVICE_ID, SENDING_COUNTS_FOR, moment, takes_a_place
from .limits import WINDOWS

_MINUTE = WINDOWS["segments_per_minute"]


@dataclass
class Window:
    """A limit on segments, and how many of them are left; what was handed out after `began_at` counts already."""

    limit: int
    left: int
    began_at: datetime


@dataclass
class Quota:
    """The amount that a device may be handed now; `take` makes it less.

    `places` are for new messages, `tries` for messages of any kind, `None` where the device is not paused.
    `recipients_left` is for numbers that are not in `known`, `None` where there is no limit on them. `due_queues` are
    the device's queues in which something is due.
    """

    device_id: str
    limits: limits.Limits
    in_hand: int
    places: int
    tries: int | None
    minute: Window
    longer: list[Window]
    month: str
    counted_month: str | None
    recipients_left: int | None
    due_queues: list[str]
    known: set[str] = field(default_factory=set)

    @property
    def has_pause(self) -> bool:
        """Return whether nothing may be handed out at all, not even once more: a pause, or the minute's segments."""
        return self.tries == 0 or self.minute.left <= 0

    @property
    def has_room(self) -> bool:
        """Return whether a new message may be handed out, if it is to a number that counts already."""
        has_segments = all(window.left > 0 for window in self.longer)
        return self.places > 0 and has_segments and not self.has_pause

    @property
    def takes_known_only(self) -> bool:
        """Return whether there is no room for another recipient."""
        return self.recipients_left is not None and self.recipients_left <= 0

    def has_recipient(self, number: str | None) -> bool:
        """Return whether a message may be handed out to this number."""
        return not self.takes_known_only or number_hash(number or "") in self.known

    def has_segments(self, count: int, handed_out_at: datetime | None = None) -> bool:
        """Return whether a message of so many segments may be handed out, perhaps again after `handed_out_at`.

        One that is larger than a minute's segments goes out alone.
        """
        is_whole_minute = self.minute.left == self.minute.limit
        return (count <= self.minute.left or is_whole_minute) and all(
            count <= window.left or _counts(window, handed_out_at) for window in self.longer
        )

    def take(self, number: str | None, count: int, handed_out_at: datetime | None = None) -> None:
        """Count a message that is handed out."""
        self.minute.left -= count
        for window in self.longer:
            if not _counts(window, handed_out_at):
                window.left -= count
        if self.recipients_left is not None and number_hash(number or "") not in self.known:
            self.known.add(number_hash(number or ""))
            self.recipients_left -= 1


class _InUse(NamedTuple):
    in_hand: int
    tried: int
    segments: int
    segments_per_minute: int | None
    segments_per_hour: int | None
    segments_per_day: int | None
    recipients_per_month: int | None
    counted_month: str | None
    paused_until: datetime | None
    pause_count: int
    due_queues: list[list[str]] | None


def _in_hand(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    takes_place = takes_a_place(moment("sending_since"), moment("sending_until"))
    count = sa.select(sa.func.count()).select_from(Dispatch)
    return count.where(Dispatch.device_id == DEVICE_ID, takes_place, *conditions).scalar_subquery()


_IN_USE = Query(
    _InUse,
    sa.select(
        _in_hand().label("in_hand"),
        # Nothing is handed out in a pause, so this is what was handed out after it, and may not be once more.
        _in_hand(
            Dispatch.last_handed_out_at >= Device.paused_until,
            sa.or_(Dispatch.acknowledged_at.is_not(None), Dispatch.lease_until > moment("now")),
        ).label("tried"),
        usage.segments_in("minute_began", "minute_ends").scalar_subquery().label("segments"),
        Device.segments_per_minute,
        Device.segments_per_hour,
        Device.segments_per_day,
        Device.recipients_per_month,
        Device.counted_month,
        Device.paused_until,
        Device.pause_count,
        queue.DUE_QUEUES.label("due_queues"),
    ).where(Device.id == DEVICE_ID),
)


def read(source: usage.Source, device_id: str, settings: Settings, now: datetime) -> Quota:
    """Return how much this device may be handed now, as a transaction sees it, or as it is committed at this moment."""
    row = usage.ask(source, _IN_USE, device_id=device_id, **_bounds(now))
    counts, month = limits.of(row, settings), limits.month_of(now)
    tries = _tries(row, now)
    places = settings.in_flight_per_device - row.in_hand
    minute = counts.segments_per_minute
    return Quota(
        device_id=device_id,
        limits=counts,
        in_hand=row.in_hand,
        places=places if tries is None else min(places, tries),
        tries=tries,
        minute=Window(minute, minute - row.segments, now - _MINUTE),
        longer=_longer(source, device_id, counts, now),
        month=month,
        counted_month=row.counted_month,
        recipients_left=_recipients_left(source, device_id, counts, row.counted_month, now),
        due_queues=[name for (name,) in row.due_queues or ()],
    )


def _tries(row: _InUse, now: datetime) -> int | None:
    if row.pause_count == 0:
        return None
    return 0 if pauses.is_paused(row.paused_until, now) else max(0, 1 - row.tried)


def _longer(
    source: usage.Source, device_id: str, counts: limits.Limits, now: datetime
) -> list[Window]:
    windows = []
    for name in ("segments_per_hour", "segments_per_day"):
        limit = counts.find(name)
        if limit is not None:
            used = usage.segments(source, device_id, WINDOWS[name], now)
            windows.append(Window(limit, limit - used, now - WINDOWS[name]))
    return windows


def _recipients_left(
    source: usage.Source,
    device_id: str,
    counts: limits.Limits,
    counted_month: str | None,
    now: datetime,
) -> int | None:
    if counts.recipients_per_month is None:
        return None
    # Until they are counted, there is no room for another.
    if counted_month != limits.month_of(now):
        return 0
    return counts.recipients_per_month - usage.recipients(source, device_id, now)


def _counts(window: Window, handed_out_at: datetime | None) -> bool:
    return handed_out_at is not None and handed_out_at > window.began_at


def _bounds(now: datetime) -> dict[str, datetime]:
    # What lies in the future was written before the clock was set back, or by a server whose clock is a little ahead.
    return {
        "now": now,
        "sending_since": now - SENDING_COUNTS_FOR,
        "sending_until": now + SENDING_COUNTS_FOR,
        "minute_began": now - _MINUTE,
        "minute_ends": now + _MINUTE,
    }
