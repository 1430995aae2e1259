"""Reports that something may have been written. A lost notification costs a wait, never an event."""

import select
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy.engine import Engine

from ..lazy_imports import lazy
from . import outages
from .db import CHANNEL, NOTIFY_SECONDS, Database
from .engines import postgresql_options
from .log_watch import LogWatch
from .opened_files import LogState, OpenedFiles
from .poolers import is_pooled

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = lazy("psycopg")

POLL_SECONDS = 0.05
# A commit follows the first write within milliseconds; the pause before each further check is doubled.
FIRST_POLL_SECONDS = 0.002
# How often to look for work if a pooler swallows the notifications.
POOLED_SECONDS = 0.25
# How long the end of the process may wait for a thread that listens.
STEP_SECONDS = 1.0

_Connection = TypeVar("_Connection", sqlite3.Connection, "psycopg.Connection[Any]")


class _Listener(ABC, Generic[_Connection]):
    """Waits for changes of the database, for one thread, and reconnects by itself after the database was away."""

    def __init__(self, stop: threading.Event, error: type[Exception]) -> None:
        """Make a listener whose driver raises `error` where the database cannot be used."""
        self._stop = stop
        self._error = error
        self._connection: _Connection | None = None

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until something may have been written, and return whether it was; `timeout_seconds` at most."""
        try:
            return self._has_changed(timeout_seconds)
        except self._error as error:
            outages.log.note(error)
            self.close()
            self._stop.wait(timeout_seconds)
            return False

    def close(self) -> None:
        """Close its connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @abstractmethod
    def _has_changed(self, timeout_seconds: float) -> bool: ...


class SqliteChangeListener(_Listener[sqlite3.Connection]):
    """Notices when any other connection, of this process or another, has committed.

    `data_version` reads a counter in shared memory and takes no lock. While nobody writes to the log, its time says so
    for a tenth of that, and where the system reports writes, nothing is read at all.
    """

    def __init__(self, files: OpenedFiles, stop: threading.Event) -> None:
        super().__init__(stop, sqlite3.Error)
        self._files = files
        self._file = 0
        self._seen = 0
        self._log_state: LogState | None = None
        self._watch = LogWatch(files.log_path)
        self._pause = POLL_SECONDS
        with suppress(sqlite3.Error):
            self._seen = self._version()

    def close(self) -> None:
        super().close()
        self._watch.close()

    def _has_changed(self, timeout_seconds: float) -> bool:
        deadline = time.monotonic() + timeout_seconds
        while (version := self._version()) == self._seen:
            if not self._wait_for_write(deadline):
                return False
        self._seen = version
        return True

    def _wait_for_write(self, deadline: float) -> bool:
        """Wait until the log may have been written to; return `False` at the deadline and when it is to stop."""
        while not self._stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if self._log_state is not None and self._watch.is_watching:
                if self._watch.wait(min(STEP_SECONDS, left)):
                    self._pause = FIRST_POLL_SECONDS
                    return True
            elif self._stop.wait(min(self._pause, left)):
                return False
            self._pause = min(2 * self._pause, POLL_SECONDS)
            if self._may_be_written():
                return True
        return False

    def _may_be_written(self) -> bool:
        before, state = self._log_state, self._files.find_log_state()
        if state is None or before is None:
            return True
        is_same_file = state[0] == before[0]
        if state != before and is_same_file and self._watch.is_watching and not self._watch.wait(0):
            # Written so long ago that it would have been reported.
            self._watch.give_up()
        return state != before

    def _version(self) -> int:
        file = self._files.check()
        if file != self._file:
            self.close()
        if self._connection is None:
            self._file = file
            self._connection = self._files.open()
            # The counter of another connection does not compare: whatever it says now counts as a change.
            self._seen = 0
        # Before the counter: what is written in between then shows in both.
        self._watch.begin()
        self._log_state = self._files.find_log_state()
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


class PostgresChangeListener(_Listener["psycopg.Connection[Any]"]):
    """Notices `NOTIFY`.

    Behind a pooler it would listen on a connection that another client is given next, so it reports a change at fixed
    intervals there.
    """

    def __init__(self, engine: Engine, stop: threading.Event) -> None:
        super().__init__(stop, psycopg.Error)
        self._engine = engine
        self._has_echo = False
        self._is_pooled = False

    def _has_changed(self, timeout_seconds: float) -> bool:
        if self._is_pooled:
            return not self._stop.wait(min(timeout_seconds, POOLED_SECONDS))
        if self._connection is None:
            options = postgresql_options(self._engine)
            self._connection = psycopg.connect(**options, autocommit=True)
            if is_pooled(self._connection):
                self._is_pooled = True
                self.close()
            else:
                self._connection.execute(f"LISTEN {CHANNEL}")
            # What was written before we listened has notified nobody.
            return True
        if self._has_echo:
            # A writer that has just notified sends nothing for a moment about what it writes next: report that, too.
            timeout_seconds = min(timeout_seconds, 2 * NOTIFY_SECONDS)
        was_notified = self._is_notified(self._connection, timeout_seconds)
        has_changed = was_notified or self._has_echo
        self._has_echo = was_notified
        return has_changed

    def _is_notified(self, connection: "psycopg.Connection[Any]", timeout_seconds: float) -> bool:
        deadline = time.monotonic() + timeout_seconds
        # psycopg would wait in steps of a tenth of a second.
        line = select.poll()
        line.register(connection.fileno(), select.POLLIN)
        while not self._stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if not line.poll(1000 * min(left, STEP_SECONDS)):
                continue
            if list(connection.notifies(timeout=0, stop_after=1)):
                return True
        return False


ChangeListener = SqliteChangeListener | PostgresChangeListener


def change_listener(database: Database, stop: threading.Event) -> ChangeListener:
    """Return the listener for this kind of database; its `wait` returns at once after `stop` is set."""
    if database.is_sqlite:
        return SqliteChangeListener(database.files, stop)
    return PostgresChangeListener(database.engine, stop)
