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
CLOSE_SECONDS = 1.0


class Transfer(Protocol):
    """A request and its answer. Its methods run in the thread of `CurlThread`, so they must not block.

    If `is_unsent` is set after `result`, nothing was sent, and the request begins again instead of being reported.
    """

    is_unsent: bool

    def begin(self) -> pycurl.Curl:
        """Return a handle with all options set."""

    def result(self, curl: pycurl.Curl, code: int, why: str) -> AttemptResult:
        """Return the result. `code` is libcurl's (`CURLE`), 0 for success; `why` is its text for it."""

    def on_result(self, result: AttemptResult | None) -> None:
        """Receive the result, once: `None` after an internal error, which was logged. Not called after `close`."""


class CurlThread:
    """Makes any number of requests at once, added by any thread. Keeps connections alive between them.

    libcurl says which sockets it waits for and until when. The thread waits for them, and for new requests.
    """

    def __init__(self) -> None:
        self._added: deque[Transfer] = deque()
        self._running: dict[pycurl.Curl, Transfer] = {}
        self._watched: set[int] = set()
        self._is_awake = self._is_closing = False
        self._is_quiet = threading.Event()
        self._due_at: float | None = None
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_CONNECTIONS)
        self._thread = threading.Thread(target=self._work, name="smsgw-curl", daemon=True)
        self._thread.start()

    def send(self, exchange: Transfer) -> None:
        """Begin the request in the thread, and return at once."""
        self._added.append(exchange)
        # A request that follows another one is added by the thread itself, which looks before it waits.
        if threading.current_thread() is not self._thread:
            self._wake()

    def close(self) -> None:
        """Abort all requests without calling `on_result`, and close all connections."""
        if not self._is_closing:
            self._is_closing = True
            self._wake()
            self._is_quiet.wait(CLOSE_SECONDS)
            self._wake_reader.close()
            self._wake_writer.close()

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self._wake_writer.send(b"!")

    def _work(self) -> None:
        while not self._is_closing:
            steps.attempt("drive the requests", self._drive)
        for curl in self._running:
            self._multi.remove_handle(curl)
        self._running.clear()
        self._is_quiet.set()
        # This waits for DNS queries that are still running, so `close` does not wait for it.
        self._multi.close()
        self._selector.close()

    def _drive(self) -> None:
        for key, events in self._selector.select(self._patience()):
            if key.fileobj is self._wake_reader:
                self._wake_reader.recv(64)
                # Before the queue is read, so that a request added meanwhile wakes the thread again.
                self._is_awake = False
            else:
                self._multi.socket_action(key.fd, events)
        if self._due_at is not None and self._due_at <= time.monotonic():
            self._due_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._end_done()
        self._begin_added()

    def _patience(self) -> float | None:
        return None if self._due_at is None else max(0.0, self._due_at - time.monotonic())

    def _begin_added(self) -> None:
        while self._added:
            self._begin(self._added.popleft())

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
    steps.attempt("report a result", partial(exchange.on_result, result))
