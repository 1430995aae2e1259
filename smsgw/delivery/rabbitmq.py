"""Publishes to RabbitMQ: persistent, confirmed, and done by the deadline. An unroutable event counts as failed."""

import logging
import socket
import ssl
import threading
import time
from functools import cached_property

from .. import brokers, clock
from ..addresses import Guard, Resolve
from ..brokers import Broker, BrokerRefused
from ..core.webhooks.retries import AttemptResult
from . import certificate_authorities
from .amqp_connection import BrokerConnection, OutgoingEvent, is_installed
from .guarded_sockets import CallFailed, GuardedConnection
from .watchdog import Watchdog

MOST_IDLE = 16
IDLE_SECONDS = 30.0
# AMQP 0-9-1 has reply codes like HTTP's: 200 is reply-success.
CONFIRMED = 200


class Publisher:
    """Publishes events. One for each process; many threads may use it at once.

    Each attempt has a connection to itself. Afterwards the connection is kept for the next attempt with the same URL,
    for half a minute at most, and at most 16 are kept. Certificates are checked as for webhooks over HTTPS.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        resolve: Resolve = socket.getaddrinfo,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # pika's log lines name users and brokers, and the result says what went wrong.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._guard = guard
        self._resolve = resolve
        self._given_tls = tls
        self._watchdog = Watchdog()
        self._lock = threading.Lock()
        self._idle: list[tuple[str, BrokerConnection, threading.Timer]] = []

    def publish(self, url: str, outgoing: OutgoingEvent, timeout_seconds: float) -> AttemptResult:
        """Publish and return the result, at the latest `timeout_seconds` from now, the DNS included.

        `status_code` 200 means that the broker has confirmed the event. Errors are those of `Transport.post`, and
        `not_installed`, `unroutable` (no queue is bound for the type), `login_refused` and `broker_refused`.
        """
        started_at, began = clock.now(), time.monotonic()
        status, error, detail = self._published(url, outgoing, timeout_seconds)
        return AttemptResult(
            started_at=started_at,
            duration_seconds=time.monotonic() - began,
            status_code=status,
            error=error,
            detail=detail,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Read the authorities when they are first needed: 3 MiB."""
        return self._given_tls or certificate_authorities.context()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            kept, self._idle = self._idle, []
        for _, connection, timer in kept:
            timer.cancel()
            connection.close()

    def _published(
        self, url: str, outgoing: OutgoingEvent, seconds: float
    ) -> tuple[int | None, str | None, str | None]:
        if not is_installed():
            return None, "not_installed", brokers.NOT_INSTALLED
        with GuardedConnection(self._guard, self._resolve, self._watchdog, seconds) as attempt:
            try:
                self._exchange(attempt, url, brokers.read(url), outgoing)
            except BrokerRefused as failure:
                return None, "invalid_url", str(failure)
            except CallFailed as failure:
                if attempt.is_over:
                    return (
                        None,
                        "timeout",
                        f"The broker did not confirm within {seconds:g} seconds.",
                    )
                return None, failure.error, failure.detail
        return CONFIRMED, None, None

    def _exchange(
        self, attempt: GuardedConnection, url: str, broker: Broker, outgoing: OutgoingEvent
    ) -> None:
        # Once per attempt: an event may be in the queue already if the connection breaks after it was sent.
        kept = self._take(url)
        if kept is not None and not kept.is_usable():
            kept.disconnect()
            kept = None
        self._send(attempt, url, kept or self._open(attempt, broker), outgoing)

    def _open(self, attempt: GuardedConnection, broker: Broker) -> BrokerConnection:
        sock = attempt.connect(broker.scheme, broker.host, broker.port)
        connection = BrokerConnection(broker, sock, self._tls if broker.scheme == "amqps" else None)
        try:
            connection.open(attempt.remaining())
        except CallFailed:
            connection.disconnect()
            raise
        return connection

    def _send(
        self,
        attempt: GuardedConnection,
        url: str,
        connection: BrokerConnection,
        outgoing: OutgoingEvent,
    ) -> None:
        try:
            connection.publish(outgoing, attempt.remaining())
        except CallFailed:
            connection.disconnect()
            raise
        self._keep(url, connection)

    def _take(self, url: str) -> BrokerConnection | None:
        with self._lock:
            for place, (kept_url, connection, timer) in enumerate(self._idle):
                if kept_url == url:
                    del self._idle[place]
                    timer.cancel()
                    return connection
        return None

    def _keep(self, url: str, connection: BrokerConnection) -> None:
        timer = threading.Timer(IDLE_SECONDS, self._retire, (connection,))
        timer.daemon = True
        with self._lock:
            self._idle.append((url, connection, timer))
            surplus = [entry[1] for entry in self._idle[:-MOST_IDLE]]
        timer.start()
        for old in surplus:
            self._retire(old)

    def _retire(self, connection: BrokerConnection) -> None:
        """Close a connection, unless somebody has taken it in the meantime."""
        with self._lock:
            found = [entry for entry in self._idle if entry[1] is connection]
            self._idle = [entry for entry in self._idle if entry[1] is not connection]
        for _, idle, timer in found:
            timer.cancel()
            idle.close()
