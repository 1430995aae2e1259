"""Lets the write transactions of several threads share one commit of SQLite, and with it one sync of the disk.

They run one after the other on one connection, all but the first in a savepoint. The transaction that ends while none
waits commits for the group; those that come meanwhile form the next one.
"""

import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import copy

from .opened_files import OpenedFiles
from .write_lock import WriteLock

PATIENCE_SECONDS = 15.0
# A group that is this old is committed although others wait: its first members have waited for so long.
MOST_GROUP_SECONDS = 0.02
# What a statement raises; where SQLite has no memory left, Python names it differently.
FAILURES = sqlite3.Error, MemoryError


class GroupCommit:
    """One connection that writes, and the threads that wait for it, in the order they came."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], lock: WriteLock, files: OpenedFiles
    ) -> None:
        self._connect = connect
        self._lock = lock
        self._files = files
        self._gate = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False
        self._is_closing = False
        self._connection: sqlite3.Connection | None = None
        self._file = 0
        self._group: _Group | None = None
        self._patience: int | None = None

    def enter(self) -> sqlite3.Connection:
        """Begin a transaction of the caller's own; until it leaves, nobody else writes.

        Raises `sqlite3.OperationalError` when the database stays locked.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        self._wait(deadline)
        connection = None
        try:
            connection = self._begin(deadline)
        finally:
            if connection is None:
                self._end_group()
        return connection

    def leave(self, *, keeps_changes: bool) -> None:
        """End the caller's transaction, and return once all that it has written or read is on the disk.

        Raises the error of the commit, after which nothing of the group is there.
        """
        group, connection = self._group, self._connection
        assert group is not None
        assert connection is not None
        signal = group.join()
        was_lost = not connection.in_transaction
        try:
            group.end_member(connection, keeps_changes=keeps_changes)
        except FAILURES as error:
            group.error = error
        if connection.in_transaction and group.is_open() and self._pass_on():
            signal.acquire()
        else:
            self._end_group()
        # Who gives up a transaction that was lost knows why, and has read nothing that lasts.
        if group.error is not None and (keeps_changes or not was_lost):
            raise copy(group.error) from group.error

    def close(self) -> None:
        """Close the connection, at the end of the group that writes; the next transaction opens another."""
        with self._gate:
            self._is_closing = True
            if self._is_taken:
                return
            self._is_taken = True
        self._end_group()

    def _wait(self, deadline: float) -> None:
        with self._gate:
            if not self._is_taken:
                self._is_taken = True
                return
            signal = _acquired()
            self._waiting.append(signal)
        if signal.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return
        with self._gate:
            # Otherwise it was let in at the last moment.
            if signal in self._waiting:
                self._waiting.remove(signal)
                raise sqlite3.OperationalError("database is locked")

    def _begin(self, deadline: float) -> sqlite3.Connection:
        if self._group is not None and self._connection is not None:
            self._connection.execute("SAVEPOINT member")
            return self._connection
        connection = self._opened()
        has_begun = False
        try:
            self._lock.acquire(deadline)
            self._be_patient(connection, max(0.0, deadline - time.monotonic()))
            connection.execute("BEGIN IMMEDIATE")
            has_begun = True
        finally:
            if not has_begun:
                self._lock.release()
        self._files.note_log()
        self._group = _Group()
        return connection

    def _be_patient(self, connection: sqlite3.Connection, seconds: float) -> None:
        """Let SQLite wait for so many whole seconds; the pragma costs as much as a statement, so it is not repeated."""
        whole = math.ceil(seconds)
        if whole != self._patience:
            connection.execute(f"pragma busy_timeout={1000 * whole}")
            self._patience = whole

    def _opened(self) -> sqlite3.Connection:
        """Return the connection to the file that is there, another one where that is another file."""
        if self._connection is None:
            self._files.forget_log()
        file = self._files.check_all()
        if self._connection is not None and self._file != file:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection, self._file = self._connect(), file
            self._patience = None
        return self._connection

    def _pass_on(self) -> bool:
        """Let the next thread into the group; false where none waits."""
        with self._gate:
            following = self._waiting.popleft() if self._waiting else None
        if following is not None:
            following.release()
        return following is not None

    def _end_group(self) -> None:
        """Commit, and let the next thread begin another group before those of this one go on."""
        group, self._group = self._group, None
        if group is not None and self._connection is not None:
            group.finish(self._connection)
            self._lock.release()
        if self._is_closing and self._connection is not None:
            self._connection.close()
            self._connection = None
        with self._gate:
            self._is_closing = False
            following = self._waiting.popleft() if self._waiting else None
            self._is_taken = following is not None
        for signal in [following, *(group.members if group else ())]:
            if signal is not None:
                signal.release()


class _Group:
    """Transactions that are committed together, and a lock for each that is released afterwards."""

    def __init__(self) -> None:
        self.error: sqlite3.Error | MemoryError | None = None
        self.members: list[threading.Lock] = []
        self._closes_at = time.monotonic() + MOST_GROUP_SECONDS

    def is_open(self) -> bool:
        """Return whether another transaction may be added."""
        return self.error is None and time.monotonic() < self._closes_at

    def join(self) -> threading.Lock:
        """Return a lock that is released when the group has ended."""
        signal = _acquired()
        self.members.append(signal)
        return signal

    def end_member(self, connection: sqlite3.Connection, *, keeps_changes: bool) -> None:
        """End the transaction of the member that joined last."""
        if not connection.in_transaction:
            # SQLite ends all of it where the disk fails or is full, also what the members before have written.
            raise sqlite3.OperationalError("the transaction was rolled back")
        if len(self.members) > 1:
            if not keeps_changes:
                connection.execute("ROLLBACK TO member")
            connection.execute("RELEASE member")
        elif not keeps_changes:
            connection.execute("ROLLBACK")

    def finish(self, connection: sqlite3.Connection) -> None:
        """Commit; return when all is on the disk, or with the `error` set and nothing of it left."""
        if not connection.in_transaction:
            return
        try:
            connection.execute("COMMIT" if self.error is None else "ROLLBACK")
        except FAILURES as error:
            self.error = error
            _undo(connection)


def _acquired() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _undo(connection: sqlite3.Connection) -> None:
    """Leave nothing of a commit that failed.

    Its frames may stand in the log, whole and valid, where a recovery after a crash would find them. The log goes on
    behind the last commit, so a write that changes nothing takes their place.
    """
    with suppress(*FAILURES):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("pragma user_version").fetchone()
        connection.execute(f"pragma user_version={version}")
        connection.execute("COMMIT")
    if connection.in_transaction:
        connection.execute("ROLLBACK")
