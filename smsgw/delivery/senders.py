"""Standing threads that make the attempts: each takes what was handed in, sends it, and puts down what came of it."""

import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

from ..core.retries import Result
from ..core.settling import Finished
from . import steps
from .claim import Claimed


class Senders:
    """So many threads. `hand` and `ended` are for one thread, which alone sees what is on its way."""

    def __init__(self, count: int, send: Callable[[Claimed], Result]) -> None:
        self.on_their_way: dict[tuple[str, str], Claimed] = {}
        self._count = count
        self._send = send
        self._handed: SimpleQueue[Claimed | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Claimed, Result | None] | None] = SimpleQueue()

    def start(self) -> None:
        """Begins the threads."""
        for _ in range(self._count):
            threading.Thread(target=self._work, daemon=True).start()

    def hand(self, claimed: Claimed) -> None:
        """Has it sent by the next thread that is free."""
        self.on_their_way[claimed.delivery_id, claimed.claim] = claimed
        self._handed.put(claimed)

    def ended(self, patience_seconds: float) -> list[Finished]:
        """What has come of attempts since the last call; waits for the first of them, or for `wake`.

        Without those that failed by a fault of ours.
        """
        finished: list[Finished] = []
        try:
            found = self._ended.get(timeout=patience_seconds)
            while True:
                if found is not None:
                    finished += self._taken_back(*found)
                found = self._ended.get_nowait()
        except Empty:
            return finished

    def wake(self) -> None:
        """Makes `ended` return; for any thread."""
        self._ended.put(None)

    def stop(self) -> None:
        """Ends the threads, each after what it is doing."""
        for _ in range(self._count):
            self._handed.put(None)

    def _work(self) -> None:
        while (claimed := self._handed.get()) is not None:
            result = steps.attempt(f"deliver {claimed.delivery_id}", partial(self._send, claimed))
            self._ended.put((claimed, result))

    def _taken_back(self, claimed: Claimed, result: Result | None) -> list[Finished]:
        del self.on_their_way[claimed.delivery_id, claimed.claim]
        if result is None:
            return []
        return [Finished(claimed.endpoint_id, claimed.delivery_id, claimed.claim, result)]
