"""Finds the conversations that may have work, at each change notification and once a second anyway."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from ..store import outages
from ..store.change_listener import ChangeListener, change_listener
from ..store.db import Database
from .conversation import Conversation, Kind
from .open_connections import OpenConnections

POLL_SECONDS = 1.0
# The least time between two searches, however fast the notifications come.
SEARCH_INTERVAL_SECONDS = 0.05
INSPECT_SECONDS = 5.0

_LOG = logging.getLogger("smsgw.live")


class Watcher:
    """Searches in a thread, with one query for all conversations of a kind, and passes what it finds to `wake`."""

    def __init__(
        self,
        database: Database,
        connections: OpenConnections,
        stopped: threading.Event,
        wake: Callable[[Sequence[Conversation]], None],
    ) -> None:
        self._database = database
        self._connections = connections
        self._stopped = stopped
        self._wake = wake
        self._inspected_at = 0.0

    def run(self) -> None:
        """Search until the event `stopped` is set."""
        listener = change_listener(self._database, self._stopped)
        while not self._stopped.is_set():
            self._search_once(listener)
            self._stopped.wait(SEARCH_INTERVAL_SECONDS)
        listener.close()

    def _search_once(self, listener: ChangeListener) -> None:
        try:
            listener.wait(POLL_SECONDS)
            if not self._stopped.is_set():
                self._search()
        except Exception as error:
            outages.log_failure(error, _LOG, "looking for work failed")
            self._stopped.wait(POLL_SECONDS)

    def _search(self) -> None:
        moment = time.monotonic()
        is_inspection_due = moment - self._inspected_at >= INSPECT_SECONDS
        if is_inspection_due:
            self._inspected_at = moment
        for kind, conversations in self._connections.conversations():
            ready = self._find(kind, conversations, is_inspection_due)
            if ready:
                self._wake(ready)

    def _find(
        self, kind: Kind, conversations: list[Conversation], is_inspection_due: bool
    ) -> list[Conversation]:
        found = list(kind.find_ready(self._database, conversations))
        if is_inspection_due and kind.inspect is not None:
            found += kind.inspect(self._database, conversations)
        return found
