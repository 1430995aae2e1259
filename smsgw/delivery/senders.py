"""Standing threads that make the attempts: each takes what was handed in, sends it, and puts down what came of it."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from ..core.settling import Finished
from . import steps
from .claim import Claimed


class Senders:
    """So many threads. All but `wake` is for one thread, which alone sees what is on its way."""

    def __init__(self, count: int, send: Callable[[Claimed], Finished]) -> None:
        self.on_their_way: dict[tuple[str, str], Claimed] = {}
        self._count = count
        self._send = send
        self._handed: SimpleQueue[Claimed | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Claimed, Finished | None] | None] = SimpleQueue()

    def start(self) -> None:
        """Begins the threads."""
        for _ in range(self._count):
            threading.Thread(target=self._work, daemon=True).start()

    def hand(self, claimed: Claimed) -> None:
        """Has it sent by the next thread that is free."""
        self.on_their_way[claimed.delivery_id, claimed.claim] = claimed
        self._handed.put(claimed)

    def ended(self, patience_seconds: float) -> list[Finished]:
        """What has ended since the last call; waits for the first of them, or for `wake`.

        Without what failed by a fault of ours: that is left to its lease.
        """
        finished: list[Finished] = []
        with suppress(Empty):
            found = self._ended.get(timeout=patience_seconds)
            while True:
                if found is not None:
                    finished += self._take_back(*found)
                found = self._ended.get_nowait()
        return finished

    def wake(self) -> None:
        """Makes `ended` return; for any thread."""
        self._ended.put(None)

    def stop(self) -> list[Finished]:
        """Ends the threads, each after what it is doing; returns what none has begun, which is not sent."""
        waiting: list[Claimed] = []
        with suppress(Empty):
            while (claimed := self._handed.get_nowait()) is not None:
                waiting.append(claimed)
        for _ in range(self._count):
            self._handed.put(None)
        return [one for claimed in waiting for one in self._take_back(claimed, unsent(claimed))]

    def _work(self) -> None:
        while (claimed := self._handed.get()) is not None:
            finished = steps.attempt(f"deliver {claimed.delivery_id}", partial(self._send, claimed))
            self._ended.put((claimed, finished))

    def _take_back(self, claimed: Claimed, finished: Finished | None) -> list[Finished]:
        del self.on_their_way[claimed.delivery_id, claimed.claim]
        return [] if finished is None else [finished]


def unsent(claimed: Claimed) -> Finished:
    """A claim that ends without an attempt."""
    return Finished(claimed.endpoint_id, claimed.delivery_id, claimed.claim, None)
