"""Connects to brokers only where the guard allows it, and ends connections at a hard deadline."""

import os
import queue
import socket
import threading
import time
from types import TracebackType
from typing import Any

from ..addresses import Guard, Resolve, refusal
from .watchdog import Watchdog

CONNECT_SECONDS = 5.0


class CallFailed(Exception):
    """A failed connection or call: `error` is the short class, `detail` a sentence for people."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail


class GuardedConnection:
    """A connection for one call: to which addresses it may go, and until when.

    The watchdog shuts the connection down at the deadline, whatever the call is waiting for.
    """

    def __init__(self, guard: Guard, resolve: Resolve, watchdog: Watchdog, seconds: float) -> None:
        self.is_over = False
        self.deadline = time.monotonic() + seconds
        self._guard = guard
        self._resolve = resolve
        self._watchdog = watchdog
        self._line: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "GuardedConnection":
        self._watchdog.watch(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchdog.forget(self)
        with self._lock:
            self._disconnect()

    def remaining(self) -> float:
        """Return the seconds until the deadline; never 0, which sockets take for "do not wait"."""
        return max(0.001, self.deadline - time.monotonic())

    def connect(self, scheme: str, host: str, port: int) -> socket.socket:
        """Return a connected socket. It uses the addresses that were checked, so the DNS cannot change in between.

        Raises `CallFailed`.
        """
        found = self._look_up(host, port)
        usable = [one for one in found if self._guard.permits_over(scheme, one[4][0], port, host)]
        if not usable:
            addresses = [entry[4][0] for entry in found]
            raise CallFailed("address_refused", refusal(scheme, host, port, addresses))
        return self._first_that_answers(usable, host)

    def watch(self, sock: socket.socket) -> None:
        """Watch this connection. Keeps a duplicate, because TLS takes the socket's descriptor over."""
        with self._lock:
            self._disconnect()
            self._line = socket.socket(fileno=os.dup(sock.fileno()))
            if self.is_over:
                _shut_down(self._line)

    def expire(self) -> None:
        """Shut the connection down at the deadline."""
        with self._lock:
            self.is_over = True
            if self._line is not None:
                _shut_down(self._line)

    def _look_up(self, host: str, port: int) -> list[tuple[Any, ...]]:
        # The system's resolver cannot be interrupted, so it runs in a separate thread, abandoned if it is late.
        answers: queue.SimpleQueue[list[tuple[Any, ...]] | None] = queue.SimpleQueue()
        arguments = (self._resolve, host.strip("[]"), port, answers)
        threading.Thread(target=_ask, args=arguments, daemon=True).start()
        try:
            found = answers.get(timeout=self.remaining())
        except queue.Empty:
            raise CallFailed("timeout", f"The DNS did not answer in time for {host}.") from None
        if not found:
            raise CallFailed("dns", f"{host} cannot be found: no address in the DNS.")
        return found

    def _first_that_answers(self, usable: list[tuple[Any, ...]], host: str) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in usable:
            try:
                return self._connected(socket.socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        raise _explained(failure, host)

    def _connected(self, sock: socket.socket, address: tuple[Any, ...]) -> socket.socket:
        try:
            sock.settimeout(min(CONNECT_SECONDS, self.remaining()))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
            self.watch(sock)
        except OSError:
            sock.close()
            raise
        return sock

    def _disconnect(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _ask(
    resolve: Resolve, host: str, port: int, answers: queue.SimpleQueue[list[tuple[Any, ...]] | None]
) -> None:
    try:
        answers.put(resolve(host, port, 0, socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        answers.put(None)


def _explained(failure: OSError | None, host: str) -> CallFailed:
    if isinstance(failure, TimeoutError):
        return CallFailed("timeout", f"{host} did not take the connection in time.")
    if isinstance(failure, ConnectionRefusedError):
        return CallFailed("connection_refused", f"{host} refuses connections at this port.")
    why = os.strerror(failure.errno) if failure is not None and failure.errno else "no route"
    return CallFailed("connection_failed", f"{host} cannot be reached: {why}.")


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side has closed it already
