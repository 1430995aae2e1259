"""Calls the application for a request, and collects its whole answer, so that a slow client holds no thread."""

import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

from gunicorn.http import wsgi

from ..live import upgrade
from .requests import RequestReader


class Call:
    """One call of the application, for a request that was received whole."""

    def __init__(
        self, cfg: Any, reader: RequestReader, sock: socket.socket, peer: Any, address: Any
    ) -> None:
        reader.request._expected_100_continue = (
            False  # the client was asked for the body before, or sent it unasked
        )
        self._answer, self.environ = wsgi.create(reader.request, sock, peer, address, cfg)
        self._outbox = self._answer.sock = _Outbox()
        self.environ["wsgi.multithread"] = True
        self.environ[upgrade.LINGERS] = True
        reader.amend(self.environ)
        # gunicorn knows it as the only option.
        options = self.environ.get("HTTP_CONNECTION", "").lower().split(",")
        if "close" in [option.strip(" \t") for option in options]:
            self.force_close()

    @property
    def may_take_socket(self) -> bool:
        """Return whether the application may take the socket over."""
        return "HTTP_UPGRADE" in self.environ

    @property
    def closes(self) -> bool:
        """Return whether the connection is closed after the answer."""
        return bool(self._answer.should_close())

    def force_close(self) -> None:
        """Make the answer say that the connection closes after it."""
        self._answer.force_close()

    def run(self, app: Callable[..., Any]) -> bytes | None:
        """Return the answer; `None` where a WebSocket's answer was sent already, and the hub may have the socket."""
        try:
            parts = app(self.environ, self._answer.start_response)
        except StopIteration:
            return None
        try:
            for part in parts:
                self._answer.write(part)
            self._answer.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return b"".join(self._outbox.parts)


def unread_bytes(sock: socket.socket) -> int:
    """Return how many of the sent bytes have not arrived at the client."""
    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
    return int(count)


class _Outbox:
    """Collects what gunicorn would write to the socket."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.parts.append(data)
