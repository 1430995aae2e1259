"""Runs all HTTP requests at the same time in one thread, with libcurl."""

import selectors
import socket
import threading
import time
from collections import deque
from functools import partial
from typing import Protocol

import pycurl

from ..core.webhooks.retries import AttemptResult
from . import steps

KEPT_CONNECTIONS = 128
GOODBYE_SECONDS = 1.0


class Transfer(Protocol):
    """A request and its answer. The wire's thread calls it, so nothing in it may wait.

    `is_unsent` says after `result` that nothing was sent: it begins again instead of being reported.
    """

    is_unsent: bool

    def begin(self) -> pycurl.Curl:
        """A handle with all that libcurl has to know."""

    def result(self, curl: pycurl.Curl, code: int, why: str) -> AttemptResult:
        """What came of it. `code` is libcurl's (`CURLE`), 0 if all went well; `why` is what it says to that."""

    def on_result(self, result: AttemptResult | None) -> None:
        """Called once, with `None` for a fault of ours, which has been logged; never after the wire's `close`."""


class Wire:
    """Makes any number of exchanges, handed in by any thread. Keeps connections alive between them.

    libcurl says which sockets it waits for and until when; the thread waits for them, and for what is handed in.
    """

    def __init__(self) -> None:
        self._handed: deque[Transfer] = deque()
        self._running: dict[pycurl.Curl, Transfer] = {}
        self._watched: set[int] = set()
        self._is_awake = self._is_closing = False
        self._is_quiet = threading.Event()
        self._due_at: float | None = None
        self._ear, self._bell = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_CONNECTIONS)
        threading.Thread(target=self._work, name="wire", daemon=True).start()

    def send(self, exchange: Transfer) -> None:
        """Begin it; return at once."""
        self._handed.append(exchange)
        self._wake()

    def close(self) -> None:
        """Break off what runs, without calling back, and close all connections."""
        if not self._is_closing:
            self._is_closing = True
            self._wake()
            self._is_quiet.wait(GOODBYE_SECONDS)
            self._ear.close()
            self._bell.close()

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self._bell.send(b"!")

    def _work(self) -> None:
        while not self._is_closing:
            steps.attempt("drive the requests", self._drive)
        for curl in self._running:
            self._multi.remove_handle(curl)
        self._running.clear()
        self._is_quiet.set()
        # Waits for the DNS where it still owes an answer, which is why nobody waits for this.
        self._multi.close()
        self._selector.close()

    def _drive(self) -> None:
        for key, events in self._selector.select(self._patience()):
            if key.fileobj is self._ear:
                self._begin_handed()
            else:
                self._multi.socket_action(key.fd, events)
        if self._due_at is not None and self._due_at <= time.monotonic():
            self._due_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._end_done()

    def _patience(self) -> float | None:
        return None if self._due_at is None else max(0.0, self._due_at - time.monotonic())

    def _begin_handed(self) -> None:
        self._ear.recv(64)
        self._is_awake = False  # before looking, so that what comes in meanwhile wakes it again
        while self._handed:
            self._begin(self._handed.popleft())

    def _begin(self, exchange: Transfer) -> None:
        curl = steps.attempt("begin a request", exchange.begin)
        if curl is None:
            _report(exchange, None)
        else:
            self._running[curl] = exchange
            self._multi.add_handle(curl)

    def _end_done(self) -> None:
        _, done, failed = self._multi.info_read()
        for curl in done:
            self._end(curl, pycurl.E_OK, "")
        for curl, code, why in failed:
            self._end(curl, code, why)

    def _end(self, curl: pycurl.Curl, code: int, why: str) -> None:
        exchange = self._running.pop(curl)
        result = steps.attempt("read an answer", partial(exchange.result, curl, code, why))
        self._multi.remove_handle(curl)
        curl.close()
        if exchange.is_unsent:
            self._begin(exchange)
        else:
            _report(exchange, result)

    def _watch(self, events: int, descriptor: int, _multi: object, _data: object) -> None:
        # libcurl and selectors have the same numbers for reading and writing.
        wanted = events & (selectors.EVENT_READ | selectors.EVENT_WRITE)
        if descriptor not in self._watched:
            if wanted:
                self._watched.add(descriptor)
                self._selector.register(descriptor, wanted)
        elif wanted:
            self._selector.modify(descriptor, wanted)
        else:
            self._watched.discard(descriptor)
            self._selector.unregister(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        self._due_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _report(exchange: Transfer, result: AttemptResult | None) -> None:
    steps.attempt("tell of a result", partial(exchange.on_result, result))
