"""Reads whole requests from one client's connection and sends answers, without ever waiting for the client."""

import math
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .answers import Call, unread_bytes
from .refusals import Refusal, failed
from .requests import RequestReader

if TYPE_CHECKING:
    from .connection_pool import ConnectionPool

RECEIVE_BYTES = 16 * 1024
RECEIVE_BODY_BYTES = 256 * 1024
# How much is read from one client before other clients are served.
FAIR_BYTES = 1024 * 1024
# How much of a refused request is read and dropped: closing with unread bytes would reset it, and the answer be lost.
LINGER_BYTES = 64 * 1024 * 1024

_READ = select.EPOLLIN | select.EPOLLONESHOT
_WRITE = select.EPOLLOUT | select.EPOLLONESHOT
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """A client's connection. Belongs to the thread that got its event, until that thread arms it for the next one."""

    __slots__ = (
        "_address",
        "_closes",
        "_lingered_bytes",
        "_lingers",
        "_pool",
        "_read_bytes",
        "_reader",
        "_sent_bytes",
        "_stage",
        "_to_send",
        "deadline",
        "fd",
        "held_bytes",
        "is_expired",
        "is_registered",
        "peer",
        "sock",
        "waits_since",
    )

    def __init__(
        self, pool: "ConnectionPool", sock: socket.socket, peer: Any, address: Any
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        self.held_bytes = 0
        self.is_expired = self.is_registered = self._closes = self._lingers = False
        self._pool = pool
        self._address = address
        self._reader = RequestReader(pool.cfg, peer)
        self._to_send = memoryview(b"")
        self._sent_bytes = self._read_bytes = self._lingered_bytes = 0
        self._stage = ""
        self._expect("request", pool.times.head_seconds)

    @property
    def is_idle(self) -> bool:
        """Return whether no part of a request has come, or a refused client has to close."""
        return self._lingers or not (self._to_send or self._reader.has_begun)

    @property
    def is_sending(self) -> bool:
        """Return whether the client has to read before anything else happens."""
        return bool(self._to_send)

    @property
    def is_waiting(self) -> bool:
        """Return whether the server waits for the client."""
        return self.deadline != math.inf

    def allow_for_reading(self) -> None:
        """Give a slow client more time for what it has read since it became slow."""
        times = self._pool.times
        read = self._sent_bytes - unread_bytes(self.sock) - self._read_bytes
        self.deadline = self.waits_since + times.send_seconds + read / times.bytes_per_second

    def start(self) -> None:
        """Wait for the first request."""
        self._wait(_READ)

    def advance(self) -> None:
        """Read, answer or send as far as possible without waiting. For the thread that got the connection's event."""
        try:
            if self._to_send:
                self._send_on()
            elif self._lingers:
                self._linger()
            else:
                self._read()
        except Refusal as refusal:
            self._refuse(refusal)

    def fail(self) -> None:
        """Answer 500 to a request on which the application failed before any of its answer was sent."""
        self._refuse(failed())

    def close(self) -> None:
        """End the connection at once."""
        self._reader.drop_body()
        self._pool.close_connection(self)

    def _expect(self, stage: str, seconds: float) -> None:
        """Give the client this time for the stage, from the beginning of the stage."""
        if stage != self._stage:
            self._stage = stage
            self.waits_since = time.monotonic()
        self.deadline = self.waits_since + seconds

    def _wait(self, events: int, kept_bytes: int = 0) -> None:
        """Leave the connection to the thread that gets the next event. The owner may do nothing with it afterwards."""
        if self._pool.hold(self, kept_bytes):
            self._pool.arm(self, events)
        else:
            self.close()

    def _read(self) -> None:
        reader, budget = self._reader, FAIR_BYTES
        reader.feed_rest()
        while reader.body is None and budget > 0:
            data = self._receive(RECEIVE_BODY_BYTES if reader.request else RECEIVE_BYTES)
            if data is None:
                break
            if not data:
                reader.fail(self.is_expired)
                self.close()
                return
            reader.feed(data)
            budget -= len(data)
        if reader.body is None:
            self._wait_for_more()
        else:
            self._handle()

    def _receive(self, size: int) -> bytes | None:
        """Return what has come: `None` for nothing yet, `b""` at the end."""
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _wait_for_more(self) -> None:
        reader, times = self._reader, self._pool.times
        if reader.waits_for_body:
            if reader.request._expected_100_continue:
                reader.request._expected_100_continue = False
                with suppress(OSError):
                    self.sock.send(_CONTINUE)
            self._expect("body", times.body_seconds + reader.body_bytes / times.bytes_per_second)
        elif reader.has_begun:
            self._expect("head", times.head_seconds)
        self._wait(_READ, reader.held_bytes)

    def _handle(self) -> None:
        """Let the application answer the complete request."""
        self.deadline = math.inf
        self._pool.hold(self, 0)
        call = Call(self._pool.cfg, self._reader, self.sock, self.peer, self._address)
        if self._pool.is_stopping or self._reader.is_cut:
            call.force_close()
        if call.may_take_socket:
            self._pool.disarm(self)
        answer = call.run(self._pool.app)
        # Otherwise a client that reads the answer slowly would keep a body on the disk as well.
        self._reader.drop_body()
        if answer is not None:
            self._closes = call.closes
            self._send(answer)
        elif self.sock.fileno() < 0:
            self.close()
        else:
            self._begin_to_linger()

    def _refuse(self, refusal: Refusal) -> None:
        self._pool.note_refusal(self.peer, refusal)
        self._reader.drop_body()
        self._closes = self._reader.is_cut = True
        self._send(refusal.answer())

    def _send(self, data: bytes) -> None:
        self._to_send = memoryview(data)
        self._sent_bytes = 0
        self._send_on()

    def _send_on(self) -> None:
        """Send as much as the socket takes. The rest follows when the client has read."""
        try:
            sent = self.sock.send(self._to_send)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._to_send = self._to_send[sent:]
        if not self._to_send:
            self._finish()
            return
        self._sent_bytes += sent
        if self._stage != "answer":
            self._read_bytes = self._sent_bytes - unread_bytes(self.sock)
            self._expect("answer", self._pool.times.send_seconds)
        self._wait(_WRITE, self._sent_bytes + len(self._to_send) + len(self._reader.rest))

    def _finish(self) -> None:
        """Wait for the next request after an answer was sent, or close."""
        reader = self._reader
        if not self._closes:
            reader.finish()
            self._stage = ""
            self._expect("idle", self._pool.idle_seconds)
            # A request that came with the last one is served after other clients; a full send queue hides it otherwise.
            self._wait(_READ | _WRITE if reader.rest else _READ, len(reader.rest))
        elif reader.is_cut or reader.rest:
            self._begin_to_linger()
        else:
            self.close()

    def _begin_to_linger(self) -> None:
        self._lingers = True
        self._reader.abandon()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._expect("end", self._pool.times.linger_seconds)
        self._wait(_READ)

    def _linger(self) -> None:
        """Read and drop what the client still sends, until it closes or sends too much."""
        data = self._receive(RECEIVE_BODY_BYTES)
        self._lingered_bytes += len(data or b"")
        if data == b"" or self._lingered_bytes > LINGER_BYTES:
            self.close()
        else:
            self._wait(_READ)
