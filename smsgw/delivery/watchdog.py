"""Stops whatever exceeds its deadline, in one thread."""

import threading
import time
from typing import Protocol


class Watched(Protocol):
    """Something that has to be done by `deadline`, a time of `time.monotonic`."""

    @property
    def deadline(self) -> float: ...

    def expire(self) -> None:
        """Stop what exceeds its deadline. Must neither block nor raise."""


class Watchdog:
    """Calls `expire` on whatever is still watched at its deadline. Timers would need a thread each.

    The thread sleeps until the earliest deadline, so whatever ends in time does not wake it. It starts with the first
    watch and ends by itself when it wakes and finds nothing to watch.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[Watched] = set()
        self._wakes_at: float | None = None

    def watch(self, run: Watched) -> None:
        """Watch it from now on."""
        with self._changed:
            self._running.add(run)
            if self._wakes_at is None:
                threading.Thread(target=self._work, name="watchdog", daemon=True).start()
                self._wakes_at = run.deadline
            elif run.deadline < self._wakes_at:
                self._changed.notify()

    def forget(self, run: Watched) -> None:
        """Stop watching it: `expire` is not called after this returns."""
        with self._changed:
            self._running.discard(run)

    def _work(self) -> None:
        with self._changed:
            while self._running:
                self._wakes_at = min(run.deadline for run in self._running)
                self._changed.wait(self._wakes_at - time.monotonic())
                self._expire_late(time.monotonic())
            self._wakes_at = None

    def _expire_late(self, moment: float) -> None:
        late = [run for run in self._running if run.deadline <= moment]
        self._running.difference_update(late)
        for run in late:
            run.expire()
