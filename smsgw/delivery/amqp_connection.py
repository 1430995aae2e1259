"""Drives one connection to a RabbitMQ broker, for one thread at a time, on a loop that runs only while it is used."""

import contextlib
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from .. import __version__
from ..brokers import Broker
from ..lazy_imports import lazy
from .guarded_sockets import CallFailed

# An optional extra.
pika: Any = lazy("pika")
base_connection: Any = lazy("pika.adapters.base_connection")
select_connection: Any = lazy("pika.adapters.select_connection")
selector_ioloop_adapter: Any = lazy("pika.adapters.utils.selector_ioloop_adapter")

HEARTBEAT_SECONDS = 120
CLOSE_SECONDS = 1.0
PERSISTENT = 2
# AMQP 0-9-1, reply codes.
NOT_ALLOWED = 403
NO_SUCH_EXCHANGE = 404


@dataclass(frozen=True)
class OutgoingEvent:
    """An event to publish: its bytes, id and type, the attempt's Unix second, and the signature's headers."""

    event_id: str
    event_type: str
    body: bytes
    timestamp: int
    headers: Mapping[str, str]


class ConnectionLost(CallFailed):
    """The broker ended the connection without giving a reason."""

    def __init__(self) -> None:
        super().__init__(
            "connection_lost", "The broker closed the connection before it confirmed the event."
        )


def is_installed() -> bool:
    """Return whether pika is installed."""
    return find_spec(pika.__name__) is not None


class BrokerConnection:
    """A connection with one channel in confirm mode.

    Its loop only runs inside `open`, `publish` and `close`, each of which ends by its deadline whatever the broker
    does. After a `CallFailed` only `disconnect` may be called.
    """

    def __init__(self, broker: Broker, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._broker = broker
        self._socket = sock
        # TLS takes the socket's descriptor over; with this duplicate the connection can be shut down.
        self._handle = socket.socket(fileno=os.dup(sock.fileno()))
        self._tls = tls
        self._loop = select_connection.IOLoop()
        self._connection: Any = None
        self._channel: Any = None
        self._is_done = False
        self._failure: CallFailed | None = None
        self._returned: CallFailed | None = None

    def open(self, seconds: float) -> None:
        """Do the TLS handshake if wanted, log in, and open a channel in confirm mode. Raises `CallFailed`."""
        self._socket.setblocking(False)
        selector_ioloop_adapter.SelectorIOServicesAdapter(self._loop).create_streaming_connection(
            protocol_factory=self._make_connection,
            sock=self._socket,
            on_done=self._on_stream,
            ssl_context=self._tls,
            server_hostname=self._broker.host if self._tls else None,
        )
        self._run(seconds)

    def publish(self, outgoing: OutgoingEvent, seconds: float) -> None:
        """Publish as persistent and mandatory, and wait for the confirmation. Raises `CallFailed`."""
        self._returned = None
        self._channel.basic_publish(
            self._broker.exchange,
            outgoing.event_type,
            outgoing.body,
            properties=pika.BasicProperties(
                content_type="application/json",
                delivery_mode=PERSISTENT,
                message_id=outgoing.event_id,
                type=outgoing.event_type,
                timestamp=outgoing.timestamp,
                app_id="smsgw",
                headers=dict(outgoing.headers),
            ),
            mandatory=True,
        )
        self._run(seconds)

    def is_usable(self) -> bool:
        """Return whether the connection and its channel are still open."""
        with contextlib.suppress(CallFailed):
            self._run(0)
        return bool(self._channel.is_open)

    def close(self) -> None:
        """Close in order, waiting at most a second for the broker."""
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
            self._run_quietly()
        self.disconnect()

    def disconnect(self) -> None:
        """End the connection at once."""
        with contextlib.suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)
        self._handle.close()
        if self._connection is not None and not self._connection.is_closed:
            # The connection is shut down, so pika notices at once and releases what it holds.
            self._run_quietly()
        self._socket.close()
        self._loop.close()

    def _run(self, seconds: float) -> None:
        self._is_done, self._failure = False, None
        timer = self._loop.call_later(seconds, self._expire)
        self._loop.start()
        self._loop.remove_timeout(timer)
        if self._failure is not None:
            raise self._failure

    def _run_quietly(self) -> None:
        with contextlib.suppress(CallFailed):
            self._run(CLOSE_SECONDS)

    def _end(self, failure: CallFailed | None = None) -> None:
        """End the wait. Only the first call counts: after a refusal the connection is closed too."""
        if not self._is_done:
            self._is_done, self._failure = True, failure
        self._loop.stop()

    def _expire(self) -> None:
        self._end(CallFailed("timeout", "The broker did not answer in time."))

    def _make_connection(self) -> Any:
        self._connection = pika.SelectConnection(
            pika.ConnectionParameters(
                host=self._broker.host,
                port=self._broker.port,
                virtual_host=self._broker.virtual_host,
                credentials=pika.PlainCredentials(self._broker.user, self._broker.password),
                heartbeat=HEARTBEAT_SECONDS,
                client_properties={"product": "smsgw", "version": __version__},
            ),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_open_error,
            on_close_callback=self._on_closed,
            custom_ioloop=self._loop,
            internal_connection_workflow=False,
        )
        # It has no public name, so the version of pika is pinned.
        return base_connection._StreamingProtocolShim(self._connection)

    def _on_stream(self, result: Any) -> None:
        if isinstance(result, ssl.SSLCertVerificationError):
            text = f"The broker's certificate is not accepted: {result.verify_message}."
            self._end(CallFailed("tls", text))
        elif isinstance(result, ssl.SSLError):
            self._end(CallFailed("tls", "The TLS handshake with the broker failed."))
        elif isinstance(result, BaseException):
            self._end(ConnectionLost())

    def _on_open(self, connection: Any) -> None:
        self._channel = connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirmation, callback=lambda _frame: self._end())

    def _on_confirmation(self, frame: Any) -> None:
        if isinstance(frame.method, pika.spec.Basic.Ack):
            self._end(self._returned)
        else:
            text = "The broker could not store the event (basic.nack)."
            self._end(CallFailed("broker_refused", text))

    def _on_return(self, _channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        # The confirmation still comes after it.
        self._returned = CallFailed(
            "unroutable",
            f"No queue is bound to the exchange {self._broker.exchange!r} for {method.routing_key}.",
        )

    def _on_open_error(self, _connection: Any, error: BaseException) -> None:
        self._end(_login_failure(error, self._broker))

    def _on_channel_closed(self, _channel: Any, error: Any) -> None:
        self._end(_channel_failure(error, self._broker))

    def _on_closed(self, _connection: Any, _error: BaseException) -> None:
        self._end(ConnectionLost())


def _login_failure(error: BaseException, broker: Broker) -> CallFailed:
    """Return the reason without the broker's text, which names the user."""
    known = pika.exceptions
    if isinstance(error, known.AuthenticationError | known.ProbableAuthenticationError):
        return CallFailed("login_refused", "The broker does not accept the user and password.")
    if isinstance(error, known.ProbableAccessDeniedError | known.ConnectionClosedByBroker):
        text = f"The broker denies this user access to the virtual host {broker.virtual_host!r}."
        return CallFailed("login_refused", text)
    if isinstance(error, known.StreamLostError):
        return ConnectionLost()
    return CallFailed("protocol", "The server at this address does not speak AMQP 0-9-1.")


def _channel_failure(error: BaseException, broker: Broker) -> CallFailed:
    code = getattr(error, "reply_code", None)
    if code == NO_SUCH_EXCHANGE:
        text = f"There is no exchange {broker.exchange!r} in {broker.virtual_host!r}."
        return CallFailed("broker_refused", text)
    if code == NOT_ALLOWED:
        text = f"This user may not publish to the exchange {broker.exchange!r}."
        return CallFailed("broker_refused", text)
    if code is None:
        return ConnectionLost()
    return CallFailed("broker_refused", f"The broker closed the channel with {code}.")
