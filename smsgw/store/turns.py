"""Turns: SQLite has one writer and lets the others sleep for long, so ours wait for each other here instead."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 15.0
PAUSE_SECONDS = 0.0005


class Turns:
    """Whose turn it is to write, between threads by a lock and between processes by a file's.

    Only for speed: SQLite's own lock is what keeps writers apart. So a process that ends gives its turn up, and one
    that hangs in its turn is not waited for longer than SQLite would.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def offered(self) -> Iterator[None]:
        """In here `begin` takes the turn, and the end gives it up. What is worked out before keeps nobody waiting."""
        self._mine.is_offered, self._mine.is_taken = True, False
        try:
            yield
        finally:
            self._mine.is_offered = False
            if self._mine.is_taken:
                self._give_up()

    def begin(self) -> None:
        """Waits for the turn where one is offered to this thread, and goes ahead without it in the end."""
        if not getattr(self._mine, "is_offered", False) or self._mine.is_taken:
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        self._mine.is_taken = self._lock.acquire(timeout=PATIENCE_SECONDS)
        while self._mine.is_taken and not self._has_file() and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Lets go of the file; threads of this process still wait for each other."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _has_file(self) -> bool:
        if self._file is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _give_up(self) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._mine.is_taken = False
        self._lock.release()
