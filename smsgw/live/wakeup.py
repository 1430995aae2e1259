"""The doorbell: tells that something may have been written. A ring that is lost costs a wait, never an event."""

import sqlite3
import threading
import time
from contextlib import suppress
from typing import Any, Protocol

import psycopg
from sqlalchemy.engine import Engine

from ..store import outages
from ..store.db import CHANNEL, NOTIFY_SECONDS, Database
from ..store.engines import postgresql_options
from ..store.poolers import is_pooled

POLL_SECONDS = 0.05
# How often it is looked for work where a pooler takes the notifications away.
POOLED_SECONDS = 0.25
# How long the end of the process may wait for one who listens to PostgreSQL.
STEP_SECONDS = 0.2


class Doorbell(Protocol):
    """Something to wait at, for one thread."""

    def wait(self, timeout_seconds: float) -> bool:
        """Waits until something may have been written, `timeout_seconds` at most, or the end; whether it rang."""

    def close(self) -> None:
        """Ends its connection."""


def doorbell(database: Database, stop: threading.Event) -> Doorbell:
    """The doorbell of this kind of database; nobody waits at it any more once `stop` is set."""
    if database.is_sqlite:
        return SqliteDoorbell(str(database.url.database), stop)
    return PostgresDoorbell(database.engine, stop)


class SqliteDoorbell:
    """Rings when any other connection, of this process or another, has committed.

    `data_version` reads a counter in shared memory: it takes no lock and costs some microseconds.
    """

    def __init__(self, path: str, stop: threading.Event) -> None:
        self._stop = stop
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._seen = 0
        with suppress(sqlite3.Error):
            self._seen = self._version()

    def wait(self, timeout_seconds: float) -> bool:
        """See `Doorbell`."""
        try:
            return self._has_changed(timeout_seconds)
        except sqlite3.Error as error:
            outages.log.note(error)
            self.close()
            self._seen = 0
            self._stop.wait(timeout_seconds)
            return False

    def close(self) -> None:
        """See `Doorbell`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _has_changed(self, timeout_seconds: float) -> bool:
        deadline = time.monotonic() + timeout_seconds
        while (version := self._version()) == self._seen:
            left = deadline - time.monotonic()
            if left <= 0 or self._stop.wait(min(POLL_SECONDS, left)):
                return False
        self._seen = version
        return True

    def _version(self) -> int:
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False
            )
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


class PostgresDoorbell:
    """Rings on `NOTIFY`, and comes back by itself after the server was away.

    Behind a pooler it would listen on a connection that another client is given next: it rings by the clock there.
    """

    def __init__(self, engine: Engine, stop: threading.Event) -> None:
        self._stop = stop
        self._engine = engine
        self._connection: psycopg.Connection[Any] | None = None
        self._has_echo = False
        self._is_pooled = False

    def wait(self, timeout_seconds: float) -> bool:
        """See `Doorbell`."""
        try:
            return self._listen(timeout_seconds)
        except psycopg.Error as error:
            outages.log.note(error)
            self.close()
            self._stop.wait(timeout_seconds)
            return False

    def close(self) -> None:
        """See `Doorbell`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self, timeout_seconds: float) -> bool:
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
            # What was written before we listened has rung for nobody.
            return True
        if self._has_echo:
            # Whoever has just rung keeps quiet for a moment about what it writes next: ring once more for that.
            timeout_seconds = min(timeout_seconds, 2 * NOTIFY_SECONDS)
        has_rung = self._hears(self._connection, timeout_seconds)
        rings = has_rung or self._has_echo
        self._has_echo = has_rung
        return rings

    def _hears(self, connection: psycopg.Connection[Any], timeout_seconds: float) -> bool:
        deadline = time.monotonic() + timeout_seconds
        while not self._stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if list(connection.notifies(timeout=min(left, STEP_SECONDS), stop_after=1)):
                return True
        return False
