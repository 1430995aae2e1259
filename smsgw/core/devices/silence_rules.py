"""Decides from the latest activity of a device whether it sends or receives nothing, or gets no delivery reports."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import NamedTuple

from ...sms import statuses
from . import capacity

NOT_SENDING = "not_sending"
NOT_RECEIVING = "not_receiving"
NO_DELIVERY_REPORTS = "no_delivery_reports"
REASONS = (NOT_SENDING, NOT_RECEIVING, NO_DELIVERY_REPORTS)

_UNCONFIRMED = "unconfirmed"
UNMOVED_AFTER = timedelta(minutes=10)
SENT_WITHOUT_REPORT = 20
# A recipient's phone may be off for a while.
REPORTS_TAKE = timedelta(hours=1)
# A gap is no silence where the device was without messages for half as long before.
_TIMES_THE_LONGEST_GAP = 2


class Handed(NamedTuple):
    """The columns of a dispatch that show what its phone does."""

    status: str
    status_at: datetime
    reason: str | None
    reason_class: str | None
    handed_out_at: datetime
    last_handed_out_at: datetime
    acknowledged_at: datetime | None
    superseded_at: datetime | None
    stuck_at: datetime | None


class Online(NamedTuple):
    """Since when a device has been online, or was reset; `waiting_since`: since when a message waits to be fetched."""

    since: datetime
    waiting_since: datetime | None
    is_full: bool


def sends_nothing_since(
    handed: Sequence[Handed], online: Online, patience: timedelta, now: datetime
) -> datetime | None:
    """Return since when a device that is online has given no sign of sending although it has work.

    It has the time `patience` to take what it is handed, also when it is full, and two hours if it retries by itself.
    """
    sign = last_sign(handed)
    from_then_on = max(online.since, sign or online.since)
    untaken = [one.handed_out_at for one in handed if _is_untaken(one, sign, online.since)]
    urgent = untaken if online.waiting_since is None else [*untaken, online.waiting_since]
    taken = [one.status_at for one in handed if _is_taken(one)]
    began = [
        max(from_then_on, min(moments))
        for moments, limit in (
            (urgent, patience),
            (taken, patience if online.is_full else capacity.IDLE_AFTER),
        )
        if moments and max(from_then_on, min(moments)) <= now - limit
    ]
    return min(began, default=None)


def last_sign(handed: Sequence[Handed]) -> datetime | None:
    """Return when the phone last reported anything new about these dispatches."""
    signs = (_sign(one) for one in handed)
    return max((moment for moment in signs if moment is not None), default=None)


def receives_nothing_since(
    received: Sequence[datetime], handed: Sequence[Handed], limit: timedelta, now: datetime
) -> datetime | None:
    """Return when a device that still sends received its last message, if that is longer ago than usual.

    `received` is newest first. A device that never received anything, or rarely does, is not silent.
    """
    longest_gap = max((later - earlier for later, earlier in pairwise(received)), default=limit)
    if not received or received[0] > now - max(limit, _TIMES_THE_LONGEST_GAP * longest_gap):
        return None
    sends = any(
        one.status in statuses.WENT_OUT and one.status_at > max(received[0], now - limit)
        for one in handed
    )
    return received[0] if sends else None


def unreported_since(handed: Sequence[Handed]) -> datetime | None:
    """Return when the device was handed the last message that it got a delivery report for.

    Only if the last 20 have none and at least half of those before had one. `handed` is newest first and so old that
    reports would have come.
    """
    sent = [one for one in handed if one.status in statuses.WENT_OUT or _is_reported(one)]
    silent = len(list(takewhile(lambda one: not _is_reported(one), sent)))
    earlier = sent[silent : silent + SENT_WITHOUT_REPORT]
    if silent < SENT_WITHOUT_REPORT or 2 * sum(map(_is_reported, earlier)) < max(len(earlier), 1):
        return None
    return earlier[0].last_handed_out_at


def last_reported(handed: Sequence[Handed]) -> datetime | None:
    """Return when the device was handed the newest message that it got a delivery report for."""
    reported = (one.last_handed_out_at for one in handed if _is_reported(one))
    return max(reported, default=None)


def _sign(handed: Handed) -> datetime | None:
    """Return when the phone last reported on this dispatch; that we gave it up is no report."""
    is_given_up = handed.reason_class == _UNCONFIRMED
    return handed.acknowledged_at if is_given_up else handed.acknowledged_at and handed.status_at


def _is_untaken(handed: Handed, sign: datetime | None, online_since: datetime) -> bool:
    if handed.acknowledged_at is not None or handed.superseded_at is not None:
        return False
    if handed.status in statuses.ACTIVE:
        return True
    # Given up meanwhile, and nothing else was taken since it was handed out.
    return (
        handed.reason_class == _UNCONFIRMED
        and (sign is None or handed.handed_out_at >= sign)
        and handed.last_handed_out_at >= online_since
    )


def _is_taken(handed: Handed) -> bool:
    """Return whether the phone has it and may still send it. Those that are stuck are announced one by one."""
    return (
        handed.status in statuses.ACTIVE
        and handed.acknowledged_at is not None
        and handed.superseded_at is None
        and handed.stuck_at is None
    )


def _is_reported(handed: Handed) -> bool:
    return statuses.has_delivery_report(handed.status, handed.reason)
