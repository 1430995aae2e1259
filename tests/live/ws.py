"""A small WebSocket client for tests: blocking, over a real socket, with every frame visible."""

import base64
import json
import os
import socket
from collections import deque
from contextlib import suppress
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

PATIENCE_SECONDS = 30.0


class Refused(Exception):
    """The server did not upgrade; the arguments are the status and the body."""


class Socket:
    """An open WebSocket on a connected socket. `headers` are those of the 101, in lower case."""

    def __init__(
        self, raw: socket.socket, headers: dict[str, str] | None = None, rest: bytes = b""
    ) -> None:
        self.raw = raw
        self.raw.settimeout(PATIENCE_SECONDS)
        self.headers = headers or {}
        self._wire = Connection(ConnectionType.CLIENT, trailing_data=rest)
        self._received: deque[Any] = deque()
        self._parts: list[str] = []
        self.close_code: int | None = None

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_error: object) -> None:
        self.raw.close()

    def send(self, message: Any) -> None:
        """Sends JSON, or a text as it is."""
        self.raw.sendall(self.frame(message if isinstance(message, str) else json.dumps(message)))

    def frame(self, text: str) -> bytes:
        """A text message as it goes over the wire."""
        return self._wire.send(TextMessage(data=text))

    def send_bytes(self, *parts: bytes) -> None:
        """Sends one binary message, in as many frames as there are parts."""
        for number, part in enumerate(parts, 1):
            event = BytesMessage(data=part, message_finished=number == len(parts))
            self.raw.sendall(self._wire.send(event))

    def send_parts(self, *parts: str) -> None:
        """Sends one text message in several frames."""
        for number, part in enumerate(parts, 1):
            event = TextMessage(data=part, message_finished=number == len(parts))
            self.raw.sendall(self._wire.send(event))

    def ping(self) -> None:
        self.raw.sendall(self._wire.send(Ping(payload=b"?")))

    def pong(self) -> None:
        self.raw.sendall(self._wire.send(Pong()))

    def close(self, code: int = 1000) -> None:
        """Says goodbye; the server's goodbye comes from `receive`."""
        self.raw.sendall(self._wire.send(CloseConnection(code)))

    def receive(self, answering: bool = True) -> Any:
        """The next message as JSON; `Pong`s as they are; `None` once the connection has ended.

        Without `answering`, pings and a goodbye are left unanswered.
        """
        while not self._received:
            for event in self._wire.events():
                self._hear(event, answering)
            if not self._received:
                self._read()
        return self._received.popleft()

    def receive_but(self, *types: str) -> Any:
        """The next message that is not of these types, such as `ping`."""
        while True:
            message = self.receive()
            if not isinstance(message, dict) or message.get("type") not in types:
                return message

    def _hear(self, event: Any, answering: bool) -> None:
        if isinstance(event, TextMessage):
            self._parts.append(event.data)
            if event.message_finished:
                self._received.append(json.loads("".join(self._parts)))
                self._parts.clear()
        elif isinstance(event, Ping) and answering:
            # The server may be gone already, with its last words still to be read.
            with suppress(OSError):
                self.raw.sendall(self._wire.send(event.response()))
        elif isinstance(event, Pong):
            self._received.append(event)
        elif isinstance(event, CloseConnection) and self.close_code is None:
            self.close_code = event.code
            if answering and self._wire.state is ConnectionState.REMOTE_CLOSING:
                with suppress(OSError):
                    self.raw.sendall(self._wire.send(event.response()))

    def _read(self) -> None:
        try:
            data = self.raw.recv(65536)
        except ConnectionResetError:
            data = b""
        if data:
            self._wire.receive_data(data)
        else:
            self._received.append(None)


def connect(
    port: int,
    path: str,
    subprotocols: list[str] | None = None,
    headers: dict[str, str] | None = None,
) -> Socket:
    """Opens a WebSocket, or raises `Refused`. A header of `""` is left out."""
    raw = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    wanted = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": ", ".join(subprotocols or []),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in wanted.items() if value)
    raw.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    return Socket(raw, *_answer(raw))


def _answer(raw: socket.socket) -> tuple[dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = raw.recv(65536)
        if not chunk:
            break
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if " 101 " in f"{status} ":
        return headers, rest
    while len(rest) < int(headers.get("content-length", 0)):
        rest += raw.recv(65536)
    raw.close()
    raise Refused(status, rest.decode(errors="replace"))
