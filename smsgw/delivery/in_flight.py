"""Keeps the attempts that this worker has begun and not finished."""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from ..core.webhooks.claiming import Claimed
from ..core.webhooks.retries import AttemptResult
from ..core.webhooks.settling import Finished
from . import steps
from .attempts import OnResult, Unsent

GATHER_SECONDS = 0.002

log = logging.getLogger(__name__)


class InFlight:
    """The attempts between `begin` and their end. Only one thread may call `begin` and `ended`."""

    def __init__(self, begin: Callable[[Claimed, OnResult], object]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], Claimed] = {}
        self._ended: SimpleQueue[Finished | None] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def slow_count(self) -> int:
        """Return how many of them are for endpoints that have run into the timeout."""
        with self._lock:
            return sum(claimed.is_slow for claimed in self._running.values())

    def begin(self, claimed: Claimed) -> None:
        """Begin an attempt, which ends by itself in a thread of its carrier."""
        with self._lock:
            self._running[claimed.delivery_id, claimed.claim] = claimed
        on_result = partial(self._report, claimed)
        step = partial(self._begin, claimed, on_result)
        if steps.attempt(f"begin to deliver {claimed.delivery_id}", step) is None:
            on_result(None)

    def ended(self, patience_seconds: float) -> list[Finished]:
        """Return the attempts that have ended since the last call. Waits for the first one, or for `wake`.

        If others are in flight it waits a moment longer, because settling few at a time costs much more. Attempts that
        ended with an internal error are left out: their leases run out.
        """
        finished: list[Finished] = []
        until = math.inf
        with suppress(Empty):
            while True:
                found = self._ended.get(timeout=patience_seconds)
                finished += [] if found is None else [found]
                until = min(until, time.monotonic() + GATHER_SECONDS)
                patience_seconds = max(0.0, until - time.monotonic()) if self else 0.0
        return finished

    def wake(self) -> None:
        """Make `ended` return. Any thread may call it."""
        self._ended.put(None)

    def _report(self, claimed: Claimed, result: AttemptResult | Unsent | None) -> None:
        made = result if isinstance(result, AttemptResult) else None
        finished = Finished(claimed.endpoint_id, claimed.delivery_id, claimed.claim, made)
        if result is None:
            log.error("delivery %s is left to its lease", claimed.delivery_id)
        with self._lock:
            # Both under the lock: an attempt that is no longer in flight is among those that have ended.
            del self._running[claimed.delivery_id, claimed.claim]
            self._ended.put(None if result is None else finished)
