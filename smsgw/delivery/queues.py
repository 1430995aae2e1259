"""Publishes the events of one endpoint one after another, in the order in which they were added."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# A job that has not begun by then is given back, because its lease has to outlast its attempt.
BEGIN_SECONDS = 5.0


@dataclass(frozen=True)
class Job:
    """A delivery of a claim. Either `publish` is called, which returns whether the next may follow, or `give_back`."""

    endpoint_id: str
    claim: str
    publish: Callable[[], bool]
    give_back: Callable[[], None]


class Queues:
    """A queue with a thread for each endpoint that has something to publish.

    After a delivery that failed because of the endpoint, the rest of its claim is given back: none may overtake it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[Job, float]]] = {}
        self._stopped: dict[str, str] = {}

    def add(self, job: Job) -> None:
        """Queue the job after the earlier ones of its endpoint, and return at once."""
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
