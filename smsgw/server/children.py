"""Forks the processes of the supervisor, starts them again when they end, and stops them."""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkProcess

from setproctitle import setproctitle

from . import signals

STOP_SECONDS = 12
STOP_STEP_SECONDS = 0.05
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0
# After a process was killed from outside before it served: the next start may well succeed.
LONGEST_PAUSE_AFTER_KILL_SECONDS = 1.0

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)
# Larger than the holes that imports leave, and smaller than what glibc places elsewhere.
LARGE_BLOCK = 120 * 1024
_LARGEST_HOLE = 16 * 1024
_HOLE_STEP = 16  # what glibc rounds sizes to
_LIBC = ctypes.CDLL(None)
_FORK = multiprocessing.get_context("fork")
_LOG = logging.getLogger("smsgw.server")

# What a process does; it gets the descriptor to write to once it serves.
Work = Callable[[int], None]


class _HeapState(ctypes.Structure):
    """Sizes that mallinfo2(3) gives: all that is `free` in the heap, and the part of it `at_end`."""

    _fields_ = (
        ("others", ctypes.c_size_t * 8),
        ("free", ctypes.c_size_t),
        ("at_end", ctypes.c_size_t),
    )


@dataclass
class Child:
    """A process that is kept running: a copy of this one, with all that is imported, that does `work`.

    It is started again at once if it has served, and otherwise after `pause_seconds`, which grow.
    """

    name: str
    work: Work
    process: ForkProcess | None = None
    start_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    served_reader: int = -1

    def start(self) -> None:
        """Start the process, with a pipe on which it reports that it serves."""
        self.served_reader, writer = os.pipe()
        os.set_blocking(self.served_reader, False)
        self.process = _FORK.Process(
            target=_run, name=self.name, args=(self.name, self.work, writer, os.getpid())
        )
        self.process.start()
        os.close(writer)

    def restart_if_ended(self) -> None:
        """Start the process where it does not run and its pause is over."""
        if self.process is not None and self.process.exitcode is not None:
            self.note_end(self.process.exitcode)
            self.process = None
        if self.process is None and time.monotonic() >= self.start_at:
            self.start()

    def note_end(self, code: int) -> None:
        """Decide when the process starts again: at once, unless it ended before it served."""
        if self._has_served():
            self.pause_seconds = FIRST_PAUSE_SECONDS
            self.start_at = 0.0
            _LOG.error("the %s process ended with code %s; it starts again", self.name, code)
            return
        longest = LONGEST_PAUSE_SECONDS
        if code == -signal.SIGKILL:
            longest = LONGEST_PAUSE_AFTER_KILL_SECONDS
        self.pause_seconds = min(self.pause_seconds, longest)
        self.start_at = time.monotonic() + self.pause_seconds
        _LOG.error(
            "the %s process ended with code %s before it served; it starts again in %.2f s",
            self.name,
            code,
            self.pause_seconds,
        )
        self.pause_seconds = 2 * self.pause_seconds

    def _has_served(self) -> bool:
        """Return whether the process that has ended had reported that it served; closes the pipe."""
        try:
            return bool(os.read(self.served_reader, 1))
        except BlockingIOError:  # one of its own children still runs
            return False
        finally:
            os.close(self.served_reader)


class Errand:
    """Work that is done once, in a process that takes along all that it opens and imports."""

    def __init__(self, work: Callable[[], str | None]) -> None:
        self._reader, writer = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=lambda: writer.send(work()))
        self._process.start()
        writer.close()

    def wait(self) -> str | None:
        """Return what the work returned, or that the process has ended without it."""
        try:
            answer: str | None = self._reader.recv()
        except EOFError:
            answer = "a process ended before its work was done"
        self._reader.close()
        self._process.join()
        return answer


def seconds_to_next_start(children: Sequence[Child], most: float) -> float:
    """Return how long to wait until a child that has ended may start again, `most` at most."""
    now = time.monotonic()
    starts = [child.start_at - now for child in children if child.process is None]
    return max(0.0, min([most, *starts]))


def stop(children: Sequence[Child]) -> None:
    """End all processes, and kill those that take longer than `STOP_SECONDS`."""
    processes = [child.process for child in children if child.process is not None]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    # Not `join(timeout)`: it waits for the children of a process, too.
    while any(process.exitcode is None for process in processes):
        if time.monotonic() >= deadline:
            for process in processes:
                process.kill()
        time.sleep(STOP_STEP_SECONDS)


def limit_heaps(most: int) -> None:
    """Have all threads of the processes share `most` heaps: glibc would give each thread its own.

    They are of no use under the interpreter's lock.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_ARENA_MAX, most)


def keep_memory_shared() -> None:
    """Prepare for forks, after all that processes have in common was made: they copy each page that they write to.

    The garbage collector writes to all objects that it inspects. Imports leave thousands of holes in the heap, and what
    a process puts into one has the whole page copied: they are taken for good, so that new memory follows behind.
    """
    gc.freeze()
    if hasattr(_LIBC, "mallinfo2"):
        _fill_heap()


def _fill_heap() -> None:
    """Take the free blocks of glibc's heap; where another allocator serves, glibc has none."""
    state, allocate, release = _LIBC.mallinfo2, _LIBC.malloc, _LIBC.free
    state.restype, allocate.restype = _HeapState, ctypes.c_void_p
    allocate.argtypes, release.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    # Twice, because glibc counts the blocks that it has at hand as used.
    left = 2 * (state().free - state().at_end)
    end = allocate(LARGE_BLOCK)
    for size in range(_LARGEST_HOLE, 0, -_HOLE_STEP):
        while (block := allocate(size)) < end and left > 0:
            left -= size
        release(block)
    release(end)


def _run(name: str, work: Work, served: int, supervisor: int) -> None:
    """Prepare a new process and do its work: it ends with its parent, and Ctrl-C is the parent's to handle."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != supervisor:
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SUPERVISED)
    setproctitle(f"smsgw {name}")
    try:
        work(served)
    finally:
        logging.shutdown()  # writes the lines that a thread still has, also in processes that `work` forks
