"""Gives processes that write to an SQLite file an order, because SQLite itself lets them sleep and try again."""

import fcntl
import logging
import os
import queue
import threading
import time
import weakref
from contextlib import suppress
from functools import cache

_LOG = logging.getLogger("smsgw.database")


class WriteLock:
    """A lock between processes, only for speed: SQLite's own lock is what keeps writers apart.

    Processes get it in the order in which they asked, and one that had it comes after those that wait. The kernel takes
    it from a process that ends; one that hangs is waited for no longer than the caller says. Where the files cannot be
    locked, nobody waits. One thread at a time may acquire it, and release it before another does.
    """

    def __init__(self, path: str) -> None:
        # Whoever has the first file is the only one that waits for the second.
        self._next = _FileLock(f"{path}-next")
        self._lock = _FileLock(f"{path}-lock")
        self._gate = threading.Lock()
        self._requests: queue.SimpleQueue[_Wait | None] = queue.SimpleQueue()
        self._wait: _Wait | None = None
        self._has_thread = False
        _ALL.add(self)

    def acquire(self, deadline: float) -> None:
        """Return with the lock, or without it at the deadline, a value of `time.monotonic`."""
        with self._gate:
            if self._wait is None and self._is_acquired():
                return
            wait = self._wait = self._wait or self._begin_wait()
            wait.is_wanted = True
        if not wait.is_over.acquire(timeout=max(0.0, deadline - time.monotonic())):
            with self._gate:
                # Changes nothing where the wait has ended just now: then the lock is the caller's.
                wait.is_wanted = False

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def close(self) -> None:
        """Close the files and end the thread that waits. The next `acquire` opens them again."""
        with self._gate:
            self._requests.put(None)
            self._has_thread = False
            self._next.close()
            self._lock.close()

    def forget(self) -> None:
        """Leave the lock to the parent, in a child that was forked: it has no thread, and its files are copies."""
        self._next.close()
        self._lock.close()
        self._gate, self._requests = threading.Lock(), queue.SimpleQueue()
        self._wait, self._has_thread = None, False

    def _is_acquired(self) -> bool:
        if not self._next.is_acquired() or not self._lock.is_acquired():
            return False
        self._next.release()
        return True

    def _begin_wait(self) -> "_Wait":
        """Let a thread wait: the kernel's queue has an order, but no time limit."""
        wait = _Wait()
        if not self._has_thread:
            self._has_thread = True
            work = threading.Thread(target=self._work, args=(self._requests,), daemon=True)
            work.start()
        self._requests.put(wait)
        return wait

    def _work(self, requests: "queue.SimpleQueue[_Wait | None]") -> None:
        while (wait := requests.get()) is not None:
            self._next.acquire()
            self._lock.acquire()
            self._next.release()
            with self._gate:
                self._wait = None
                if wait.is_wanted:
                    wait.is_over.release()
                else:
                    self._lock.release()


class _Wait:
    """A wait for the lock, and whether somebody still wants what it waits for."""

    def __init__(self) -> None:
        self.is_wanted = True
        self.is_over = threading.Lock()
        self.is_over.acquire()


class _FileLock:
    """The lock of a file, which is made with the first use. Where it cannot be locked, everybody has the lock."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Wait for the lock."""
        self._flock(fcntl.LOCK_EX)

    def is_acquired(self) -> bool:
        """Acquire the lock unless another has it, and return whether this process has it now."""
        return self._flock(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, and release the lock with it."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _flock(self, operation: int) -> bool:
        try:
            fcntl.flock(self._opened(), operation)
        except BlockingIOError:
            return False
        except OSError as error:
            _warn(os.path.dirname(self._path), error.strerror)
        return True

    def _opened(self) -> int:
        """Return the file's descriptor, of another file where it was removed or replaced."""
        if self._file is not None and not self._is_current(self._file):
            self.close()
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(file))
        except FileNotFoundError:
            return False


_ALL: weakref.WeakSet[WriteLock] = weakref.WeakSet()


@cache
def _warn(folder: str, why: str) -> None:
    """Log it once."""
    _LOG.warning("no file can be locked in %s (%s): writing may be slow", folder or ".", why)


def _forget_all() -> None:
    for lock in _ALL:
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)
