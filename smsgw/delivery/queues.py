"""Publishes the events of one endpoint one after another, in the order in which they are handed in."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# What has not begun by then is given back: its lease has to outlast its attempt.
BEGIN_SECONDS = 5.0


@dataclass(frozen=True)
class Job:
    """One delivery of a claim: `publish` says whether the next may follow; `give_back` is called instead of it."""

    endpoint_id: str
    claim: str
    publish: Callable[[], bool]
    give_back: Callable[[], None]


class Queues:
    """A queue with a thread for each endpoint that has something to publish.

    After one that failed because of the endpoint, the rest of its claim is given back, so that none overtakes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[Job, float]]] = {}
        self._stopped: dict[str, str] = {}

    def add(self, job: Job) -> None:
        """Publish it after all that were added before for its endpoint; return at once."""
        entry = (job, time.monotonic() + BEGIN_SECONDS)
        with self._lock:
            is_running = job.endpoint_id in self._waiting
            self._waiting.setdefault(job.endpoint_id, deque()).append(entry)
        if not is_running:
            threading.Thread(target=self._run, args=(job.endpoint_id,), daemon=True).start()

    def _run(self, endpoint_id: str) -> None:
        while (entry := self._next(endpoint_id)) is not None:
            job, begin_by = entry
            is_stopped = self._stopped.get(endpoint_id) == job.claim
            if is_stopped or time.monotonic() > begin_by:
                self._stopped[endpoint_id] = job.claim
                job.give_back()
            elif not job.publish():
                self._stopped[endpoint_id] = job.claim

    def _next(self, endpoint_id: str) -> tuple[Job, float] | None:
        with self._lock:
            if self._waiting[endpoint_id]:
                return self._waiting[endpoint_id].popleft()
            del self._waiting[endpoint_id]
            return None
