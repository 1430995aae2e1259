"""Accepts connections from a listening socket, for whichever thread of the pool gets its event."""

import errno
import logging
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..live import upgrade
from .connections import Connection

if TYPE_CHECKING:
    from .connection_pool import ConnectionPool

# Longer than the queue of the listening socket.
ACCEPTED_AT_ONCE = 4096
MAKE_ROOM_SECONDS = 0.05
# How much of an answer the kernel takes before the client reads. All connections of the machine share its memory.
MAX_UNSENT_BYTES = 128 * 1024

_LOG = logging.getLogger("smsgw.web")
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


class ListeningSocket:
    """A listening socket, from which the threads of a pool accept connections."""

    def __init__(self, pool: "ConnectionPool", sock: socket.socket) -> None:
        sock.setblocking(False)
        _bound_unsent(sock)
        self.fd = sock.fileno()
        self._pool = pool
        self._sock = sock
        # Known once: to ask for it would release the interpreter's lock for each connection.
        self._address = sock.getsockname()
        self._is_short = False

    def accept(self) -> Connection | None:
        """Return a new connection, `None` where no client waits for this process."""
        if self._pool.is_stopping:
            return None
        try:
            client, peer = self._sock.accept()
        except OSError as error:
            if error.errno not in _NOBODY_THERE:
                self._run_short(error)
            return None
        return self._pool.add(client, peer, self._address, self._count_sockets())

    def accept_waiting(self) -> None:
        """Accept for threads that are all busy, before clients find no place to wait. Call it about once a second."""
        self._is_short = False
        for _ in range(ACCEPTED_AT_ONCE):
            connection = self.accept()
            if connection is None:
                return
            connection.start()

    def _run_short(self, error: OSError) -> None:
        """Close some connections, as no descriptor is left; new clients wait in the listening socket meanwhile."""
        if not self._is_short:
            self._is_short = True
            _LOG.error("no connection can be accepted: %s", error.strerror)
        self._pool.make_room()
        time.sleep(MAKE_ROOM_SECONDS)

    def _count_sockets(self) -> int:
        """Return how many WebSockets the process holds."""
        extensions: dict[str, Any] = getattr(self._pool.app, "extensions", {})
        hub = extensions.get(upgrade.EXTENSION)
        return hub.count if hub is not None else 0


def _bound_unsent(listener: socket.socket) -> None:
    """Limit what the kernel keeps of an answer until the client reads, on all connections of the listener."""
    with suppress(OSError):  # a local path
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
