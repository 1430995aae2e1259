"""Speaks the protocol of `/cable`: Rails' Action Cable protocol, `actioncable-v1-json`, with one channel.

The conversation is pure: a frame comes in, frames go out. Malformed frames are ignored without an answer, as in Rails.
`frames` writes them; what the app does on its channel is in `gateway_channel`.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from ... import clock, json_reader
from ...core.devices import sockets
from ...core.devices.locking import NOT_ADMITTED
from ...core.devices.logins import Login
from ...core.devices.protocols import MYSMSAPIO
from ...http.context import Services
from ...live.conversation import Answer, Drop, Kind
from ...live.device_socket import DeviceSocket, SocketState, find_ready
from ...store.db import Database
from . import frames
from .gateway_channel import CHANNEL, GatewayChannel

PING_SECONDS = 3.0
MOST_SUBSCRIPTIONS = 16
# The document's identifier has 28 characters. Each is kept as long as its socket.
MOST_IDENTIFIER = 1024
# A device that has sent no heartbeat for so long is asked for one, before it counts as offline.
ASK_AFTER = timedelta(seconds=90)

_CLOSING_ANSWERS: dict[SocketState, Answer] = {
    SocketState.VOID: frames.DISCONNECT,
    SocketState.REPLACED: frames.DISCONNECT,
    SocketState.LOST: [Drop()],
}

_LOG = logging.getLogger("smsgw.cable")


def _find_ready(
    database: Database, conversations: Sequence["CableConversation"]
) -> list["CableConversation"]:
    return find_ready(database, [one for one in conversations if one.is_subscribed])


def _inspect(
    database: Database, conversations: Sequence["CableConversation"]
) -> list["CableConversation"]:
    """Return the conversations whose key is void, whose device has a newer socket, or whose heartbeat is late."""
    now = clock.now()
    with database.reading() as session:
        rows = sockets.find_all(session)
    return [
        one
        for one in conversations
        if one.is_subscribed
        and (
            one.socket.state(rows.get(one.key)) in _CLOSING_ANSWERS
            or one.is_late(rows[one.key], now)
        )
    ]


KIND = Kind(
    "cable",
    find_ready=_find_ready,
    inspect=_inspect,
    heartbeat=frames.ping,
    heartbeat_seconds=PING_SECONDS,
    needs_live_line=True,
)


class CableConversation:
    """One gateway's side of the cable; see `live.conversation.Conversation` for when each method is called."""

    kind = KIND

    def __init__(self, services: Services, login: Login) -> None:
        self.key = login.device_id
        self.socket = DeviceSocket(services.settings, services.database, login)
        self._database = services.database
        self._channel = GatewayChannel(services, self.socket)
        self._identifiers: list[str] = []
        self._asked_at: datetime | None = None

    @property
    def is_subscribed(self) -> bool:
        """Return whether messages may be sent to the app."""
        return bool(self._identifiers)

    def opened(self) -> Answer:
        return [frames.WELCOME]

    def last_messages(self) -> Sequence[str]:
        return [frames.RESTART]

    def alive(self) -> None:
        """Do nothing: a pong shows that the socket lives, only a heartbeat shows that the app does."""

    def closed(self) -> None:
        if self._identifiers:
            self._release()

    def received(self, message: str | bytes) -> Answer:
        command = self._read(message) or {}
        identifier = command.get("identifier")
        act = self._COMMANDS.get(str(command.get("command")))
        if act is None or not isinstance(identifier, str) or len(identifier) > MOST_IDENTIFIER:
            return []
        try:
            return act(self, identifier, command)
        except NOT_ADMITTED:
            return frames.DISCONNECT

    def work(self) -> Answer:
        row = self.socket.find_row()
        if not self.is_subscribed:
            return frames.DISCONNECT if self.socket.is_void(row) else []
        state = self.socket.state(row)
        if state in _CLOSING_ANSWERS:
            return _CLOSING_ANSWERS[state]
        now = clock.now()
        asked = self._ask_for_heartbeat(now) if row and self.is_late(row, now) else []
        # To one subscription alone, or the app would send each SMS as often as it subscribed.
        handed = [frames.send_sms(self._identifiers[-1], one) for one in self.socket.take(now)]
        return [*asked, *handed]

    def is_late(self, row: sockets.SocketRow, now: datetime) -> bool:
        """Return whether the app has to be asked for a heartbeat."""
        last = max(filter(None, [row.last_seen_at, self._asked_at]), default=None)
        return self.is_subscribed and last is not None and last <= now - ASK_AFTER

    def _read(self, message: str | bytes) -> dict[str, Any] | None:
        """Return the object in a frame, or `None`. Invalid JSON is logged, because Rails has no answer for it."""
        try:
            said = json_reader.read_tolerantly(message)
        except json_reader.InvalidJson as error:
            _LOG.warning("a frame of device %s: %s", self.key, error)
            return None
        return said if isinstance(said, dict) else None

    def _release(self) -> None:
        with self._database.transaction() as session:
            sockets.release(session, self.key, self.socket.socket_id)

    def _subscribe(self, identifier: str, _command: dict[str, Any]) -> Answer:
        if identifier in self._identifiers:
            return []
        wanted = self._read(identifier)
        if wanted is None:
            return []
        if wanted.get("channel") != CHANNEL or len(self._identifiers) >= MOST_SUBSCRIPTIONS:
            return [frames.reject(identifier)]
        now = clock.now()
        with self._database.transaction() as session:
            sockets.claim(session, self.socket.login, MYSMSAPIO, self.socket.socket_id, now)
        self._channel.note_sighting(now)
        self._identifiers.append(identifier)
        return [frames.confirm(identifier), *self.work()]

    def _unsubscribe(self, identifier: str, _command: dict[str, Any]) -> Answer:
        if identifier in self._identifiers:
            if self._identifiers == [identifier]:
                self._release()
            self._identifiers.remove(identifier)
        return []

    def _message(self, identifier: str, command: dict[str, Any]) -> Answer:
        if identifier not in self._identifiers:
            return []
        sent = command.get("data")
        data = self._read(sent) if isinstance(sent, str) else sent
        return self._channel.perform(identifier, data) if isinstance(data, dict) else []

    def _ask_for_heartbeat(self, now: datetime) -> list[str]:
        self._asked_at = now
        return [frames.broadcast(identifier, "ping", {}) for identifier in self._identifiers]

    _COMMANDS: ClassVar[dict[str, "Act"]] = {
        "subscribe": _subscribe,
        "unsubscribe": _unsubscribe,
        "message": _message,
    }


Act = Callable[[CableConversation, str, dict[str, Any]], Answer]
