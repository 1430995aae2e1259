"""Keeps the deliveries that this worker has claimed until they end, and begins their attempts."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ..brokers import is_broker
from ..core.webhooks.claiming import Claimed
from ..core.webhooks.due import MOST_IN_FLIGHT
from ..core.webhooks.retries import AttemptResult, holds_off
from ..core.webhooks.settling import Finished
from . import steps
from .attempts import OnResult, Unsent
from .queues import BEGIN_SECONDS

GATHER_SECONDS = 0.002
# While others are waiting to begin, nothing is late: they were claimed ahead.
LONGEST_GATHER_SECONDS = 0.02

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _ClaimedAhead:
    """A delivery that was claimed ahead, and until when (`time.monotonic`) its attempt may begin."""

    claimed: Claimed
    begin_by: float


class InFlight:
    """The deliveries between `begin` and their end. Only one thread may call `begin` and `ended`.

    `most_at_once` attempts run at the same time, `MOST_IN_FLIGHT` of them for one endpoint. The others wait, the next
    is for the endpoint with the fewest. Where an endpoint is to be left in peace, or it takes too long until one can
    begin, those that wait are given back: they end without a result.
    """

    def __init__(self, begin: Callable[[Claimed, OnResult], object], most_at_once: int) -> None:
        self._begin = begin
        self._most_at_once = most_at_once
        self._lock = threading.Lock()
        self._claimed: dict[tuple[str, str], Claimed] = {}
        self._waiting: dict[str, deque[_ClaimedAhead]] = {}
        self._running: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._is_beginning = False
        self._finished: list[Finished] = []
        self._is_woken = threading.Event()
        # More have ended than wait to begin, and: none is in flight any more.
        self._has_many = threading.Event()
        self._is_empty = threading.Event()

    def __len__(self) -> int:
        return len(self._claimed)

    @property
    def slow_count(self) -> int:
        """Return how many of them are for endpoints that have run into the timeout."""
        with self._lock:
            return sum(claimed.is_slow for claimed in self._claimed.values())

    def counts(self) -> Mapping[str, int]:
        """Return how many there are for each endpoint."""
        with self._lock:
            return Counter(claimed.endpoint_id for claimed in self._claimed.values())

    def begin(self, claimed: Claimed) -> None:
        """Begin an attempt as soon as it may run. It ends by itself in a thread of its carrier."""
        with self._lock:
            self._claimed[claimed.delivery_id, claimed.claim] = claimed
            if not is_broker(claimed.url):
                waiting = self._waiting.setdefault(claimed.endpoint_id, deque())
                waiting.append(_ClaimedAhead(claimed, time.monotonic() + BEGIN_SECONDS))
        if is_broker(claimed.url):
            # Its carrier publishes the events of an endpoint one after another.
            self._begin_one(claimed)
        else:
            self._begin_waiting()

    def ended(self, patience_seconds: float) -> list[Finished]:
        """Return the attempts that have ended since the last call. Waits for the first one, or for `wake`.

        If others are in flight it waits a moment longer, because settling few at a time costs much more. Attempts that
        ended with an internal error are left out: their leases run out.
        """
        self._give_back_late()
        self._is_woken.wait(patience_seconds)
        if self._finished:
            self._has_many.wait(LONGEST_GATHER_SECONDS)
            if self:
                self._is_empty.wait(GATHER_SECONDS)
        with self._lock:
            for event in (self._is_woken, self._has_many, self._is_empty):
                event.clear()
            finished, self._finished = self._finished, []
        return finished

    def wake(self) -> None:
        """Make `ended` return. Any thread may call it."""
        self._is_woken.set()

    def give_back(self) -> None:
        """Give back all that wait to begin."""
        with self._lock:
            for endpoint_id in list(self._waiting):
                self._give_back(endpoint_id)

    def _give_back_late(self) -> None:
        moment = time.monotonic()
        with self._lock:
            for endpoint_id, waiting in list(self._waiting.items()):
                if waiting[0].begin_by < moment:
                    self._give_back(endpoint_id)

    def _give_back(self, endpoint_id: str) -> None:
        for one in self._waiting.pop(endpoint_id, ()):
            self._end(one.claimed, None)

    def _begin_waiting(self) -> None:
        """Begin what may run, in one thread at a time: an attempt that ends at once comes back here."""
        with self._lock:
            if self._is_beginning:
                return
            self._is_beginning = True
        while (claimed := self._next()) is not None:
            self._begin_one(claimed)

    def _next(self) -> Claimed | None:
        with self._lock:
            endpoint_id = min(self._waiting, key=self._running.__getitem__, default=None)
            if endpoint_id is None or not self._may_begin(endpoint_id):
                self._is_beginning = False
                return None
            waiting = self._waiting.pop(endpoint_id)
            claimed = waiting.popleft().claimed
            if waiting:
                # At the end: of those with equally few, the one that has waited for longest is next.
                self._waiting[endpoint_id] = waiting
            self._running[endpoint_id] += 1
        return claimed

    def _may_begin(self, endpoint_id: str) -> bool:
        is_one_free = self._running.total() < self._most_at_once
        return is_one_free and self._running[endpoint_id] < MOST_IN_FLIGHT

    def _begin_one(self, claimed: Claimed) -> None:
        on_result = partial(self._report, claimed)
        step = partial(self._begin, claimed, on_result)
        if steps.attempt(f"begin to deliver {claimed.delivery_id}", step) is None:
            on_result(None)

    def _report(self, claimed: Claimed, result: AttemptResult | Unsent | None) -> None:
        if result is None:
            log.error("delivery %s is left to its lease", claimed.delivery_id)
        with self._lock:
            self._note_end(claimed, result)
        self._begin_waiting()

    def _note_end(self, claimed: Claimed, result: AttemptResult | Unsent | None) -> None:
        endpoint_id = claimed.endpoint_id
        if not is_broker(claimed.url):
            self._running[endpoint_id] -= 1
            if not self._running[endpoint_id]:
                del self._running[endpoint_id]
        made = result if isinstance(result, AttemptResult) else None
        if made is not None:
            failures = 0 if made.is_success else self._failures[endpoint_id] + 1
            self._failures[endpoint_id] = failures
            if holds_off(made, failures):
                self._give_back(endpoint_id)
        self._end(claimed, made, is_settled=result is not None)

    def _end(
        self, claimed: Claimed, result: AttemptResult | None, *, is_settled: bool = True
    ) -> None:
        # All under the lock: an attempt that is no longer in flight is among those that have ended.
        del self._claimed[claimed.delivery_id, claimed.claim]
        if is_settled:
            finished = Finished(claimed.endpoint_id, claimed.delivery_id, claimed.claim, result)
            self._finished.append(finished)
        # Each call of `set` may cost a change of threads, so there is one for many attempts.
        if not self._is_woken.is_set():
            self._is_woken.set()
        waiting_count = len(self._claimed) - self._running.total()
        if len(self._finished) > waiting_count and not self._has_many.is_set():
            self._has_many.set()
        if not self._claimed:
            self._is_empty.set()
