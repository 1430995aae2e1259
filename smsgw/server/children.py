"""Starts the processes of the supervisor, starts them again when they end, and stops them."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import signals

STOP_SECONDS = 12
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0
# After a process was killed from outside before it served: the next start may well succeed.
LONGEST_PAUSE_AFTER_KILL_SECONDS = 1.0

# Where `-m smsgw` finds this very package, in a checkout and where pip installed it.
_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_LIBC = ctypes.CDLL(None)
_LOG = logging.getLogger("smsgw.server")


@dataclass
class Child:
    """A process that is kept running: `command` and the descriptor to write to once it serves.

    It is started again at once if it has served, and otherwise after `pause_seconds`, which grow.
    """

    name: str
    command: list[str]
    descriptors: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    served_reader: int = -1

    def start(self) -> None:
        """Start the process, with a pipe on which it reports that it serves."""
        self.served_reader, writer = os.pipe()
        os.set_blocking(self.served_reader, False)
        self.process = subprocess.Popen(
            [*self.command, str(writer)],
            cwd=_PACKAGE_FOLDER,
            pass_fds=(*self.descriptors, writer),
            process_group=0,  # Ctrl-C goes to the supervisor, which stops the children
            preexec_fn=_prepare_child,
        )
        os.close(writer)

    def restart_if_ended(self) -> None:
        """Start the process where it does not run and its pause is over."""
        if self.process is not None and self.process.poll() is not None:
            self.note_end(self.process.returncode)
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
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _prepare_child() -> None:
    """Unblock the signals in a new process before its program runs, and let it end with its parent."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SUPERVISED)
    if sys.platform == "linux":
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGTERM)
