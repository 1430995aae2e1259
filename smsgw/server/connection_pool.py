"""Holds all connections of one process and serves them with a fixed number of threads.

The threads wait at one epoll. A connection is armed for one event at a time (EPOLLONESHOT), so it belongs to the thread
that got its event, and no thread is held by a client that is slow: only by the application, for whole requests. The
thread that accepts a connection serves it, because its request has usually come with it.
"""

import heapq
import logging
import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .connections import Connection
from .listening_socket import ListeningSocket
from .refusals import Refusal

# The most bytes of incomplete requests and of answers not yet read, of all clients, in memory and on the disk.
MAX_HELD_BYTES = 256 * 1024 * 1024
# Above this share of it no connection may keep anything, because those that make room close only with some delay.
HELD_LIMIT_SHARE = 1.25
# At least so many of the longest-waiting connections are closed where there is no room.
CLOSED_AT_ONCE = 16
MAKE_ROOM_SECONDS = 0.05
STOP_IDLE_SECONDS = 2.0

# One thread at a time accepts, and has another one accept the next connection before it serves this one.
_ACCEPT = select.EPOLLIN | select.EPOLLONESHOT
_LOG = logging.getLogger("smsgw.web")


@dataclass(frozen=True)
class Times:
    """The seconds a client may take for each stage. A body or an answer gets more: a second per `bytes_per_second`."""

    head_seconds: float = 30.0
    body_seconds: float = 30.0
    send_seconds: float = 30.0
    linger_seconds: float = 10.0
    bytes_per_second: float = 1000.0


TIMES = Times()


class ConnectionPool:
    """Serves connections with `threads` threads; everything up to `close` is for the process's main thread."""

    def __init__(self, cfg: Any, app: Callable[..., Any], threads: int, capacity: int) -> None:
        self.cfg = cfg
        self.app = app
        self.times = TIMES
        self.is_stopping = False
        self._capacity = capacity
        self._listeners: dict[int, ListeningSocket] = {}
        self._connections: dict[int, Connection] = {}
        self._held_bytes = 0
        self._made_room_at = 0.0
        self._closed_for_room = 0
        # Nothing may be done to a descriptor once it is closed, because it may be another connection's by then.
        self._lock = threading.Lock()
        self._epoll = select.epoll()
        self._end = os.eventfd(0)
        self._epoll.register(self._end, select.EPOLLIN)
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"smsgw-web-{number}", daemon=True).start()

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def idle_seconds(self) -> float:
        """Return how long a connection is kept open for the next request."""
        return STOP_IDLE_SECONDS if self.is_stopping else float(self.cfg.keepalive)

    def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Have the threads accept connections from these sockets, until `stop`."""
        for sock in sockets:
            listener = ListeningSocket(self, sock)
            self._listeners[listener.fd] = listener
            self._epoll.register(listener.fd, _ACCEPT)

    def check(self) -> None:
        """End the connections of clients that took too long, and accept new ones where all threads are busy.

        Call it about once a second.
        """
        for listener in self._listeners.values():
            listener.accept_waiting()
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.deadline < now:
                self._expire(connection)
        if self._closed_for_room:
            _LOG.warning(
                "too many connections: closed %d that waited longest", self._closed_for_room
            )
            self._closed_for_room = 0

    def make_room(self, is_concerned: Callable[[Connection], bool] = lambda _: True) -> None:
        """End some of the connections concerned: those that have waited longest for their client."""
        now = time.monotonic()
        if now < self._made_room_at + MAKE_ROOM_SECONDS:  # their threads are about to close them
            return
        self._made_room_at = now
        everyone = list(self._connections.values())
        waiting = [one for one in everyone if one.is_waiting and is_concerned(one)]
        count = max(CLOSED_AT_ONCE, len(waiting) // 20)
        oldest = heapq.nsmallest(count, waiting, key=lambda one: one.waits_since)
        for connection in oldest:
            connection.deadline = math.inf
            self._shut_down(connection, socket.SHUT_RDWR)
        self._closed_for_room += len(oldest)

    def stop(self) -> None:
        """Close each connection when its request is answered, and those without a request soon."""
        self.is_stopping = True
        soon = time.monotonic() + STOP_IDLE_SECONDS
        for connection in list(self._connections.values()):
            if connection.is_waiting and connection.is_idle:
                connection.deadline = min(connection.deadline, soon)

    def close(self) -> None:
        """Let the threads end as soon as they are idle."""
        os.eventfd_write(self._end, 1)

    # What follows is for the threads that serve.

    def add(self, sock: socket.socket, peer: Any, address: Any, others: int = 0) -> Connection:
        """Keep a new connection. Where there are too many, `others` included, close those that have waited longest."""
        if len(self._connections) + others >= self._capacity:
            self.make_room()
        sock.setblocking(False)
        connection = Connection(self, sock, peer, address)
        self._connections[connection.fd] = connection
        return connection

    def arm(self, connection: Connection, events: int) -> None:
        """Give the connection to the thread that gets its next event."""
        if connection.is_registered:
            self._epoll.modify(connection.fd, events)
            return
        connection.is_registered = True
        try:
            self._epoll.register(connection.fd, events)
        except OSError as error:
            _LOG.error("no connection can be served: %s", error.strerror)
            connection.close()

    def disarm(self, connection: Connection) -> None:
        """Stop watching the connection's descriptor, which the application may take over."""
        if connection.is_registered:
            connection.is_registered = False
            self._epoll.unregister(connection.fd)

    def hold(self, connection: Connection, count: int) -> bool:
        """Note how many bytes are kept for the connection, and return whether it may continue.

        Where all together keep too much, the oldest connections are closed, and if that is not enough, this one.
        """
        if count == connection.held_bytes:
            return True
        with self._lock:
            self._held_bytes += count - connection.held_bytes
            connection.held_bytes = count
            held_bytes = self._held_bytes
        if held_bytes > MAX_HELD_BYTES:
            self.make_room(lambda one: one.held_bytes > 0)
        may_go_on = not count or held_bytes <= HELD_LIMIT_SHARE * MAX_HELD_BYTES
        self._closed_for_room += not may_go_on
        return may_go_on

    def close_connection(self, connection: Connection) -> None:
        """Close the connection, unless the application has taken its socket."""
        self.hold(connection, 0)
        with self._lock:
            if self._connections.get(connection.fd) is connection:
                del self._connections[connection.fd]
            connection.sock.close()

    def note_refusal(self, peer: Any, refusal: Refusal) -> None:
        """Log a request that did not reach the application, without its text, which may contain a key."""
        address = peer[0] if isinstance(peer, tuple) else peer
        _LOG.info("a request from %s was refused: %s %s", address, refusal.status, refusal.reason)

    def _serve(self) -> None:
        """Runs in each thread."""
        poll, connections, listeners = self._epoll.poll, self._connections, self._listeners
        while True:
            for fd, _ in poll(None, 1):
                if fd == self._end:
                    return
                if fd in listeners:
                    self._accept_and_serve(listeners[fd])
                elif (connection := connections.get(fd)) is not None:
                    self._advance(connection)

    def _accept_and_serve(self, listener: ListeningSocket) -> None:
        connection = listener.accept()
        if not self.is_stopping:
            self._epoll.modify(listener.fd, _ACCEPT)
        if connection is not None:
            self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        """Advance the connection. On an error answer 500, and where that fails too, close."""
        for step in (connection.advance, connection.fail, connection.close):
            try:
                step()
            except Exception:
                _LOG.exception("a request failed")
            else:
                return

    def _expire(self, connection: Connection) -> None:
        """Shut down reading, so that its next thread sees the end of the request and can still answer."""
        if not connection.is_sending:
            connection.is_expired = True
            self._shut_down(connection, socket.SHUT_RD)
            return
        with self._lock:
            if self._connections.get(connection.fd) is connection:
                with suppress(OSError, ValueError):  # the socket has just become a WebSocket
                    connection.allow_for_reading()
        if connection.deadline < time.monotonic():
            self._shut_down(connection, socket.SHUT_RDWR)

    def _shut_down(self, connection: Connection, how: int) -> None:
        with self._lock:
            if self._connections.get(connection.fd) is connection:
                try:
                    connection.sock.shutdown(how)
                except OSError:
                    return
