"""Writes log lines in a thread, in their order, so that nobody waits for whoever reads the log."""

import logging
import os
import select
import threading
import time
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import TextIO

# How long the first line waits for others, which are written together with it.
GATHER_SECONDS = 0.02
# What is kept while nobody reads the log; further lines are lost, and their number is logged once there is room.
MAX_HELD_BYTES = 4 * 1024 * 1024
# How long the end of the process waits for a reader of the log.
STOP_SECONDS = 3.0
# Writes of this size to a pipe are never mixed with those of other processes (POSIX's PIPE_BUF on Linux).
ATOMIC_BYTES = 4096

_LOG = logging.getLogger("smsgw.log")


class LineWriter:
    """A stream for one `StreamHandler`, under whose lock lines come. Start it in the process that uses it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._added_bytes = 0
        self._written_bytes = 0
        self._lost_lines = 0
        threading.Thread(target=self._run, name="smsgw-log", daemon=True).start()

    def write(self, text: str) -> None:
        """Take one or more whole lines, or count them as lost where too much is waiting."""
        if self._added_bytes - self._written_bytes > MAX_HELD_BYTES:
            self._lost_lines += 1
            return
        if self._lost_lines:
            lost, self._lost_lines = self._lost_lines, 0
            _LOG.warning("%d log lines were lost, because nobody read the log", lost)
        line = text.encode(self._encoding, "backslashreplace")
        self._added_bytes += len(line)
        self._queue.put(line)

    def flush(self) -> None:
        """Wait until everything is written, but not much longer than a reader that still reads needs."""
        is_written = threading.Event()
        self._queue.put(is_written)
        is_written.wait(STOP_SECONDS)

    def _run(self) -> None:
        while True:
            waiting = [self._queue.get()]
            time.sleep(GATHER_SECONDS)
            waiting += [self._queue.get() for _ in range(self._queue.qsize())]
            for chunk in chunks(one for one in waiting if isinstance(one, bytes)):
                self._write(chunk)
                self._written_bytes += len(chunk)
            for one in waiting:
                if isinstance(one, threading.Event):
                    one.set()

    def _write(self, chunk: bytes) -> None:
        """Write all of it, however long that takes; a log that cannot be written is not a reason to end."""
        left = memoryview(chunk)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # somebody has made the descriptor non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError:
                return


def chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join whole lines to chunks that are written at once."""
    chunk = b""
    for line in lines:
        if chunk and len(chunk) + len(line) > ATOMIC_BYTES:
            yield chunk
            chunk = b""
        chunk += line
    yield chunk
