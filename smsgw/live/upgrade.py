"""Takes an authenticated request for a WebSocket out of the WSGI server and gives its socket to the hub.

The answer is made by the view and sent when the WSGI server asks for it, after everything else that has to do with the
request. Then the server forgets the connection: it sees a closed descriptor.
"""

import base64
import binascii
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug import exceptions
from wsproto.utilities import generate_accept_token

from ..store.db import Database
from .conversation import Conversation
from .hub import Hub

EXTENSION = "smsgw.hub"
PEER_SECONDS = 20

_OUR_HEADERS = ("Upgrade", "Connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol")


class Upgraded(Response):
    """`101 Switching Protocols`, after which the socket is the hub's."""

    def __init__(self, hub: Hub, conversation: Conversation, headers: dict[str, str]) -> None:
        super().__init__(status=101, headers=headers)
        self._hub = hub
        self._conversation = conversation

    def __call__(self, environ: Any, _start_response: Any) -> Iterable[bytes]:
        client = _take(environ)
        try:
            client.sendall(self._head())
        except OSError:
            client.close()
        else:
            client.setblocking(False)
            self._hub.adopt(client, self._conversation)
        # How each server is told that there is nothing for it to send.
        raise ConnectionResetError if "werkzeug.socket" in environ else StopIteration

    def _head(self) -> bytes:
        lines = ["HTTP/1.1 101 Switching Protocols"]
        lines += [f"{name}: {value}" for name, value in self.headers if name in _OUR_HEADERS]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def register(app: Flask, database: Database) -> Hub:
    """Gives the app its hub, which does nothing before the first socket."""
    hub = Hub(database)
    app.extensions[EXTENSION] = hub
    return hub


def accept(conversation: Conversation, subprotocols: Sequence[str] = ()) -> Response:
    """The answer that opens the WebSocket this request asks for, and leaves it to the conversation.

    Selects the first subprotocol the client offers that is one of `subprotocols`, and none otherwise; accepts no
    extension: compression costs 100 KB per socket. Raises 400 when the handshake is not one of RFC 6455, and 501
    where the WSGI server does not let its socket go (one that does TLS itself).
    """
    key = request.headers.get("Sec-WebSocket-Key", "")
    if not is_handshake() or not _is_key(key):
        raise exceptions.BadRequest("this is no WebSocket handshake of version 13")
    if not isinstance(_socket(request.environ), socket.socket):
        raise exceptions.NotImplemented("this server cannot hold WebSockets")
    hub: Hub = current_app.extensions[EXTENSION]
    if hub.is_full(conversation):
        text = f"there are {conversation.kind.most} sockets of this key already"
        raise exceptions.TooManyRequests(text, retry_after=PEER_SECONDS)
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": generate_accept_token(key.encode()).decode(),
    }
    chosen = next((name for name in _offered() if name in subprotocols), None)
    if chosen is not None:
        headers["Sec-WebSocket-Protocol"] = chosen
    return Upgraded(hub, conversation, headers)


def is_handshake() -> bool:
    """Whether this request asks for a WebSocket in the way of RFC 6455."""
    wanted = request.headers.get("Upgrade", "").lower()
    return wanted == "websocket" and request.headers.get("Sec-WebSocket-Version") == "13"


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
    """The request's socket, ours alone."""
    theirs = _socket(environ)
    assert theirs is not None
    client = socket.socket(fileno=theirs.detach())
    client.settimeout(PEER_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_SECONDS * 1000)
    return client
