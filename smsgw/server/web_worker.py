"""Runs a gunicorn worker that accepts connections for a pool of threads that no slow client can hold."""

import errno
import os
import resource
import selectors
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.base import Worker

from .. import logs
from ..live import upgrade
from .connection_pool import ConnectionPool

CHECK_SECONDS = 1.0
STOP_STEP_SECONDS = 0.05
MAKE_ROOM_SECONDS = 0.05
# How much of an answer the kernel takes before the client reads. All connections of the machine share its memory.
MAX_UNSENT_BYTES = 128 * 1024
# Descriptors for anything but connections: the database, the log, bodies on the disk.
RESERVED_DESCRIPTORS = 256

_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# The client has gone, or the network has failed.
_NOBODY_THERE = (
    errno.EAGAIN,
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.EPERM,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.ETIMEDOUT,
)


class WebWorker(Worker):  # type: ignore[misc]
    """Serves until SIGTERM; then answers what has begun to arrive, within `graceful_timeout`."""

    def run(self) -> None:
        logs.write_in_thread()
        self._pool = ConnectionPool(self.cfg, self.wsgi, self.cfg.threads, self._capacity())
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.PIPE[0], selectors.EVENT_READ)
        self._checked_at = time.monotonic()
        self._is_short = False
        # Known once: to ask for it would release the interpreter's lock for each connection.
        self._addresses = {one: one.getsockname() for one in self.sockets}
        for listener in self.sockets:
            listener.setblocking(False)
            _bound_unsent(listener)
            self._selector.register(listener, selectors.EVENT_READ)
        while self.alive:
            self._accept_once(CHECK_SECONDS)
            if self._check() and self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                break
        self._finish()

    def _finish(self) -> None:
        self._pool.stop()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while len(self._pool) and time.monotonic() < deadline:
            time.sleep(STOP_STEP_SECONDS)
            self._pool.check()
        self._pool.close()
        for listener in self.sockets:
            listener.close()

    def _capacity(self) -> int:
        """Return how many connections this process may have, so that descriptors are left for everything else."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = max(descriptors - RESERVED_DESCRIPTORS, descriptors // 2)
        return min(int(self.cfg.worker_connections), spare)

    def _check(self) -> bool:
        """Run the checks once a second, and return whether it was time for them."""
        now = time.monotonic()
        if now < self._checked_at + CHECK_SECONDS:
            return False
        self._checked_at = now
        self.notify()
        self._is_short = False
        self._pool.check()
        return True

    def _accept_once(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fd == self.PIPE[0]:
                os.read(key.fd, 64)
            else:
                self._accept(key.fileobj)

    def _accept(self, listener: Any) -> None:
        try:
            client, peer = listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                self._run_short(error)
            elif error.errno not in _NOBODY_THERE:
                raise
        else:
            self._pool.add(client, peer, self._addresses[listener], self._sockets())

    def _run_short(self, error: OSError) -> None:
        """Close some connections; new clients wait in the listening socket meanwhile."""
        if not self._is_short:
            self._is_short = True
            self.log.error("no connection can be accepted: %s", error.strerror)
        self._pool.make_room()
        time.sleep(MAKE_ROOM_SECONDS)

    def _sockets(self) -> int:
        """Return how many WebSockets the process holds."""
        extensions: dict[str, Any] = getattr(self.wsgi, "extensions", {})
        hub = extensions.get(upgrade.EXTENSION)
        return hub.count if hub is not None else 0


def _bound_unsent(listener: socket.socket) -> None:
    """Limit what the kernel keeps of an answer until the client reads, on all connections of the listener."""
    with suppress(OSError):  # a local path
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
