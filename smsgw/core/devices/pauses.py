"""Decides when a device is paused after failures, and for how long: a circuit breaker with growing pauses.

A failure for a limit, or five failures in a row that give no reason, begin a pause: the phone has reached Android's
limit on SMS, or its SIM has no credit. After the pause one message at a time is handed out: the first that is sent
ends it, one that fails in the same way begins a longer pause. Android counts SMS over a minute, old versions over
half an hour.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from ...sms import reasons, statuses

FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=2)
MOST_FAILED_IN_A_ROW = 5
_LONGEST_AFTER = 6


class Outcome(NamedTuple):
    """The outcome a device reported of a message that was handed out at that time: `sent`, `delivered` or `failed`."""

    status: str
    reason: str | None
    handed_out_at: datetime


@dataclass(frozen=True)
class Pause:
    """The state of a device; see `Device`."""

    paused_until: datetime | None = None
    pause_count: int = 0
    pause_reason: str | None = None
    failed_in_a_row: int = 0


def is_paused(paused_until: datetime | None, now: datetime) -> bool:
    """Return whether the pause still lasts; one that lies far ahead was written before the clock was set back."""
    return paused_until is not None and now < paused_until <= now + LONGEST_PAUSE


def seconds_left(paused_until: datetime | None, now: datetime) -> float:
    """Return for how long the pause still lasts; 0 without one."""
    if paused_until is None or not is_paused(paused_until, now):
        return 0.0
    return (paused_until - now).total_seconds()


def after(pause: Pause, outcome: Outcome, now: datetime) -> Pause:
    """Return the state of the device after this outcome.

    Only messages that were handed out after a pause show the present state of the phone.
    """
    is_try = pause.paused_until is not None and outcome.handed_out_at >= pause.paused_until
    if outcome.status != statuses.FAILED:
        return Pause() if is_try or pause.pause_count == 0 else replace(pause, failed_in_a_row=0)
    is_limit = reasons.classify(outcome.reason or "") == reasons.LIMIT
    if not is_limit and not reasons.is_generic(outcome.reason or ""):
        return pause
    failed_in_a_row = min(pause.failed_in_a_row + 1, MOST_FAILED_IN_A_ROW)
    is_enough = is_limit or failed_in_a_row == MOST_FAILED_IN_A_ROW
    if is_try or (pause.pause_count == 0 and is_enough):
        return _next(pause, outcome.reason, now)
    return replace(pause, failed_in_a_row=failed_in_a_row)


def has_begun(before: Pause, steps: Iterable[Pause]) -> bool:
    """Return whether a pause begins in these states that does not follow another pause."""
    counts = [before.pause_count, *[step.pause_count for step in steps]]
    return any(count > 0 and last == 0 for last, count in pairwise(counts))


def _next(pause: Pause, reason: str | None, now: datetime) -> Pause:
    # Longer pauses than this are cut anyway.
    length = FIRST_PAUSE * 2 ** min(pause.pause_count, _LONGEST_AFTER)
    count = min(pause.pause_count + 1, _LONGEST_AFTER)
    return Pause(now + min(length, LONGEST_PAUSE), count, reason)
