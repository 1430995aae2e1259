"""Calculates when a failed delivery is retried, and how long a failing endpoint is paused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

JITTER = 0.2
FLOOR_SECONDS = 60.0
BUSY_STATUS_CODES = (429, 502, 504)
TIMEOUT = "timeout"
GONE = 410
FAILURES_TO_OPEN = 5
# Errors of one event, while the broker accepts others.
OF_THE_EVENT = ("unroutable",)
PERHAPS_OF_THE_EVENT = ("broker_refused",)
SHORTEST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class AttemptResult:
    """The result of one request to an endpoint: either a `status_code` or an `error`, never both.

    `error` is one of `timeout`, `dns`, `address_refused`, `connection_refused`, `connection_failed`,
    `connection_lost`, `tls`, `protocol` and `invalid_url`; `detail` is a sentence for people and has no part of
    the URL but its host. `response_text` is the beginning of the answer's body, 4,096 bytes at most.
    """

    started_at: datetime
    duration_seconds: float
    status_code: int | None = None
    error: str | None = None
    detail: str | None = None
    response_text: str = ""
    retry_after_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        """Return whether the receiver accepted the request: 2xx and nothing else."""
        return self.status_code is not None and 200 <= self.status_code <= 299

    @property
    def has_timed_out(self) -> bool:
        """Return whether the attempt lasted until its deadline."""
        return self.error == TIMEOUT


def delay_seconds(
    schedule: Sequence[float], step: int, result: AttemptResult, chance: float
) -> float | None:
    """Return how long to wait after a failure before step `step` of the schedule; `None` when there is no such step.

    The schedule's seconds ±20 % (`chance` is between 0 and 1), a minute or more for a receiver that is overloaded or
    hangs, and what it asks for in `Retry-After` as far as that lies between the delay and twice the delay.
    """
    if step >= len(schedule):
        return None
    delay = schedule[step] * (1 - JITTER + 2 * JITTER * chance)
    if result.has_timed_out or result.status_code in BUSY_STATUS_CODES:
        delay = max(delay, FLOOR_SECONDS)
    return min(max(delay, result.retry_after_seconds or 0.0), 2 * delay)


def longest_delay(schedule: Sequence[float], step: int) -> timedelta:
    """Return the longest possible `delay_seconds` of this step."""
    return timedelta(seconds=2 * max(schedule[step] * (1 + JITTER), FLOOR_SECONDS))


def holds_up(result: AttemptResult, attempt_count: int) -> bool:
    """Return whether an endpoint that keeps the order waits after this failure, instead of getting its next event.

    It waits if the endpoint is at fault, and for five attempts if the event may be.
    """
    if result.error in PERHAPS_OF_THE_EVENT:
        return attempt_count < FAILURES_TO_OPEN
    return result.error not in OF_THE_EVENT


def holds_off(result: AttemptResult, consecutive_failures: int) -> bool:
    """Return whether an endpoint gets nothing more for now, even if it was claimed: it hangs, fails or is gone."""
    is_opened = consecutive_failures >= FAILURES_TO_OPEN
    return result.has_timed_out or result.status_code == GONE or is_opened


def pause(consecutive_failures: int) -> timedelta | None:
    """Return how long to pause an endpoint after so many failures in a row: `None`, then 30 s doubling to 10 min."""
    if consecutive_failures < FAILURES_TO_OPEN:
        return None
    doublings = min(consecutive_failures - FAILURES_TO_OPEN, 10)
    return min(SHORTEST_PAUSE * int(2**doublings), LONGEST_PAUSE)
