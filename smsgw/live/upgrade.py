"""Takes an authenticated request for a WebSocket out of the WSGI server and gives its socket to the hub.

The view makes the answer. It is sent when the WSGI server asks for it, after everything else of the request is done.
Then the server forgets the connection, because it sees a closed descriptor.
"""

import base64
import binascii
import resource
import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug import exceptions
from wsproto.connection import Connection as WsConnection
from wsproto.connection import ConnectionType
from wsproto.events import CloseConnection, TextMessage
from wsproto.utilities import generate_accept_token

from ..store.db import Database
from .conversation import Conversation
from .hub import Hub

EXTENSION = "smsgw.hub"
# Set in the environ by a server that closes a socket it still has, once the client has read the answer.
LINGERS = "smsgw.lingers"
PEER_SECONDS = 20
BUSY_SECONDS = 30
# The share of the descriptors that WebSockets may take, so that some are left for requests.
DESCRIPTOR_SHARE = 0.75

_OUR_HEADERS = ("Upgrade", "Connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol")


class Upgraded(Response):
    """Answers `101 Switching Protocols` and gives the socket to the hub."""

    def __init__(self, hub: Hub, conversation: Conversation, headers: dict[str, str]) -> None:
        super().__init__(status=101, headers=headers)
        self._hub = hub
        self._conversation = conversation

    def __call__(self, environ: Any, _start_response: Any) -> Iterable[bytes]:
        client = _take(environ)
        try:
            _send_at_once(client, _head(self))
        except OSError:
            client.close()
        else:
            self._hub.adopt(client, self._conversation)
        # Each server understands one of these as "there is nothing to send".
        raise ConnectionResetError if "werkzeug.socket" in environ else StopIteration


class Refused(Response):
    """Answers `101 Switching Protocols`, sends a text, and closes the socket, which never reaches the hub."""

    def __init__(self, text: str, headers: dict[str, str]) -> None:
        super().__init__(status=101, headers=headers)
        self._text = text

    def __call__(self, environ: Any, _start_response: Any) -> Iterable[bytes]:
        ws = WsConnection(ConnectionType.SERVER)
        frames = ws.send(TextMessage(data=self._text)) + ws.send(CloseConnection(1000))
        client = _socket(environ) if LINGERS in environ else _take(environ)
        assert client is not None
        with suppress(OSError):
            client.send(_head(self) + frames)
        if LINGERS not in environ:
            client.close()
        raise ConnectionResetError if "werkzeug.socket" in environ else StopIteration


def register(app: Flask, database: Database) -> Hub:
    """Give the app its hub, which starts nothing before the first socket."""
    hub = Hub(database)
    app.extensions[EXTENSION] = hub
    return hub


def accept(conversation: Conversation, subprotocols: Sequence[str] = ()) -> Response:
    """Return the answer that opens the WebSocket of this request and leaves it to the conversation.

    Selects the first subprotocol of the client that is one of `subprotocols`, or none. Accepts no extension, because
    compression costs 100 KB per socket. Raises 400 for a handshake that does not follow RFC 6455, 429 where the key has
    too many sockets, 501 where the WSGI server does TLS and keeps its socket, and 503 where too many sockets are open.
    """
    headers = _agree(subprotocols)
    hub: Hub = current_app.extensions[EXTENSION]
    if hub.is_full(conversation):
        text = f"this key has {conversation.kind.most} open sockets, the most allowed"
        raise exceptions.TooManyRequests(text, retry_after=PEER_SECONDS)
    if _lacks_descriptors(hub):
        raise exceptions.ServiceUnavailable(
            "too many WebSockets are open", retry_after=BUSY_SECONDS
        )
    return Upgraded(hub, conversation, headers)


def refuse(text: str, subprotocols: Sequence[str] = ()) -> Response:
    """Return the answer that opens the WebSocket, sends a text and closes it, for clients that ignore HTTP errors."""
    return Refused(text, _agree(subprotocols))


def is_handshake() -> bool:
    """Return whether this request asks for a WebSocket as RFC 6455 says."""
    wanted = request.headers.get("Upgrade", "").lower()
    return wanted == "websocket" and request.headers.get("Sec-WebSocket-Version") == "13"


def _send_at_once(client: socket.socket, head: bytes) -> None:
    """Send the head without waiting. Raises `OSError` for a client that has not read the answers before it."""
    if client.send(head) < len(head):
        raise BlockingIOError


def _head(answer: Response) -> bytes:
    lines = ["HTTP/1.1 101 Switching Protocols"]
    lines += [f"{name}: {value}" for name, value in answer.headers if name in _OUR_HEADERS]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _agree(subprotocols: Sequence[str]) -> dict[str, str]:
    """Return the headers of a successful handshake. Raises as `accept` does."""
    key = request.headers.get("Sec-WebSocket-Key", "")
    if not is_handshake() or not _is_key(key):
        raise exceptions.BadRequest("not a WebSocket handshake of version 13")
    if not isinstance(_socket(request.environ), socket.socket):
        raise exceptions.NotImplemented("this server cannot serve WebSockets")
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": generate_accept_token(key.encode()).decode(),
    }
    chosen = next((name for name in _offered() if name in subprotocols), None)
    if chosen is not None:
        headers["Sec-WebSocket-Protocol"] = chosen
    return headers


def _lacks_descriptors(hub: Hub) -> bool:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return hub.count >= descriptors * DESCRIPTOR_SHARE


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _offered() -> list[str]:
    offers = ",".join(request.headers.getlist("Sec-WebSocket-Protocol"))
    return [offer.strip() for offer in offers.split(",")]


def _socket(environ: dict[str, Any]) -> socket.socket | None:
    found: Any = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    return None if isinstance(found, ssl.SSLSocket) else found


def _take(environ: dict[str, Any]) -> socket.socket:
    """Return the request's socket, detached from the WSGI server."""
    theirs = _socket(environ)
    assert theirs is not None
    client = socket.socket(fileno=theirs.detach())
    client.setblocking(False)
    if client.family not in (socket.AF_INET, socket.AF_INET6):  # a reverse proxy on this machine
        return client
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_SECONDS * 1000)
    return client
