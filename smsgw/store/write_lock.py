"""Decides which process may write to an SQLite file, because SQLite itself lets the others sleep for long."""

import fcntl
import os
import sqlite3
import time

import sqlalchemy as sa

PAUSE_SECONDS = 0.0005


class WriteLock:
    """A lock between processes, only for speed: SQLite's own lock is what keeps writers apart.

    A process that ends gives it up, and one that hangs is waited for no longer than the caller says. A process that
    had the lock comes after the one that waits for it.
    """

    def __init__(self, path: str) -> None:
        self._lock = _FileLock(f"{path}-lock")
        self._next = _FileLock(f"{path}-next")

    def acquire(self, deadline: float) -> None:
        """Return with the lock, or without it at the deadline, a value of `time.monotonic`."""
        if self._next.acquire(deadline):
            self._lock.acquire(deadline)
            self._next.release()

    def release(self) -> None:
        """Give the lock up."""
        self._lock.release()

    def close(self) -> None:
        """Let go of the files; from now on nothing is waited for."""
        self._lock.close()
        self._next.close()


class _FileLock:
    def __init__(self, path: str) -> None:
        try:
            self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            cause = sqlite3.OperationalError(f"{path} cannot be written: {error.strerror}")
            raise sa.exc.OperationalError("open", None, cause) from error

    def acquire(self, deadline: float) -> bool:
        while not self._is_acquired():
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE_SECONDS)
        return True

    def release(self) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _is_acquired(self) -> bool:
        if self._file is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
