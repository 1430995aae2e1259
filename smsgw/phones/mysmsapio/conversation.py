"""Speaks the protocol of `/cable`: Rails' Action Cable protocol, `actioncable-v1-json`, with one channel.

The conversation is pure: a frame comes in, frames go out. Malformed frames are ignored without an answer, as in Rails.
"""

import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from ... import clock, json_reader
from ...core.devices import sockets
from ...core.devices.locking import NOT_ADMITTED
from ...core.devices.logins import Login
from ...core.devices.protocols import MYSMSAPIO
from ...core.messages.handing_out import Outgoing
from ...errors import GatewayError, Invalid
from ...http.context import Services
from ...live.conversation import Answer, Close, Drop, Kind
from ...live.device_socket import DeviceSocket, SocketState, find_ready
from ...store.db import Database
from . import translation

CHANNEL = "GatewayChannel"
PING_SECONDS = 3.0
MOST_SUBSCRIPTIONS = 16
# The document's has 28 characters; each is kept as long as its socket.
MOST_IDENTIFIER = 1024
# A device that has not sent its heartbeat by then is asked for one, before it counts as offline.
ASK_AFTER = timedelta(seconds=90)

_WELCOME = '{"type":"welcome"}'
_RESTART = '{"type":"disconnect","reason":"server_restart","reconnect":true}'
_REMOTE = '{"type":"disconnect","reason":"remote","reconnect":false}'
_DISCONNECT: Answer = [_REMOTE, Close(1000)]
_CLOSING_ANSWERS: dict[SocketState, Answer] = {
    SocketState.VOID: _DISCONNECT,
    SocketState.REPLACED: _DISCONNECT,
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


def _ping() -> str:
    return _compact({"type": "ping", "message": int(clock.now().timestamp())})


KIND = Kind(
    "cable",
    find_ready=_find_ready,
    inspect=_inspect,
    heartbeat=_ping,
    heartbeat_seconds=PING_SECONDS,
)


class CableConversation:
    """One gateway's side of the cable; see `live.conversation.Conversation` for when each method is called."""

    kind = KIND

    def __init__(self, services: Services, login: Login) -> None:
        self.key = login.device_id
        self.socket = DeviceSocket(services.settings, services.database, login)
        self._services = services
        self._identifiers: list[str] = []
        self._asked_at: datetime | None = None

    @property
    def is_subscribed(self) -> bool:
        """Whether messages may be sent to it."""
        return bool(self._identifiers)

    def opened(self) -> Answer:
        return [_WELCOME]

    def last_messages(self) -> Sequence[str]:
        return [_RESTART]

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
            return _DISCONNECT

    def work(self) -> Answer:
        row = self.socket.find_row()
        if not self.is_subscribed:
            return _DISCONNECT if self.socket.is_void(row) else []
        state = self.socket.state(row)
        if state in _CLOSING_ANSWERS:
            return _CLOSING_ANSWERS[state]
        now = clock.now()
        asked = self._ask_for_heartbeat(now) if row and self.is_late(row, now) else []
        # To one subscription alone, or the app would send each SMS as often as it subscribed.
        handed = [_send_sms(self._identifiers[-1], one) for one in self.socket.take(now)]
        return [*asked, *handed]

    def is_late(self, row: sockets.SocketRow, now: datetime) -> bool:
        """Whether the app is to be asked for a heartbeat."""
        last = max(filter(None, [row.last_seen_at, self._asked_at]), default=None)
        return self.is_subscribed and last is not None and last <= now - ASK_AFTER

    def _read(self, message: str | bytes) -> dict[str, Any] | None:
        """The object in what the app sent, `None` for all else; no answer could say so, and the log does."""
        try:
            said = json_reader.read_tolerantly(message)
        except json_reader.InvalidJson as error:
            _LOG.warning("a frame of device %s: %s", self.key, error)
            return None
        return said if isinstance(said, dict) else None

    def _release(self) -> None:
        with self._services.database.transaction() as session:
            sockets.release(session, self.key, self.socket.socket_id)

    def _subscribe(self, identifier: str, _command: dict[str, Any]) -> Answer:
        if identifier in self._identifiers:
            return []
        wanted = self._read(identifier)
        if wanted is None:
            return []
        if wanted.get("channel") != CHANNEL or len(self._identifiers) >= MOST_SUBSCRIPTIONS:
            return [_compact({"identifier": identifier, "type": "reject_subscription"})]
        now = clock.now()
        with self._services.database.transaction() as session:
            sockets.claim(session, self.socket.login, MYSMSAPIO, self.socket.socket_id, now)
        self._note_sighting(now)
        self._identifiers.append(identifier)
        confirmed = _compact({"identifier": identifier, "type": "confirm_subscription"})
        return [confirmed, *self.work()]

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
        if not isinstance(data, dict):
            return []
        act = self._ACTIONS.get(str(data.get("action")))
        if act is None:
            return []
        payload = data.get("payload")
        if not isinstance(payload, dict):
            payload = {name: value for name, value in data.items() if name != "action"}
        try:
            return act(self, identifier, payload)
        except NOT_ADMITTED:
            raise
        except GatewayError as error:
            _LOG.warning("%s of device %s: %s", data["action"], self.key, error.message)
            return []

    def _heartbeat(self, _identifier: str, _payload: dict[str, Any]) -> Answer:
        if self.socket.is_void(self.socket.find_row()):
            return _DISCONNECT
        self._note_sighting(clock.now())
        return []

    def _sms_received(self, identifier: str, payload: dict[str, Any]) -> Answer:
        now = clock.now()
        try:
            with self._services.database.transaction() as session:
                message_id = translation.take_sms(
                    session, self._services.settings, self.socket.login, payload, now
                )
        except Invalid as error:
            with self._services.database.transaction() as session:
                translation.keep_unreadable(session, self.socket.login, payload, error.message, now)
            raise
        return [_frame(identifier, "sms_received_ack", {"message_id": message_id})]

    def _delivery_status(self, _identifier: str, payload: dict[str, Any]) -> Answer:
        with self._services.database.transaction() as session:
            translation.take_status(session, self.socket.login, payload, clock.now())
        self.socket.ask_again_at = 0.0
        return []

    def _note_sighting(self, now: datetime) -> None:
        self._services.last_seen_writer.note(self.socket.login, now, None, MYSMSAPIO)

    def _ask_for_heartbeat(self, now: datetime) -> list[str]:
        self._asked_at = now
        return [_frame(identifier, "ping", {}) for identifier in self._identifiers]

    _COMMANDS: ClassVar[dict[str, "Act"]] = {
        "subscribe": _subscribe,
        "unsubscribe": _unsubscribe,
        "message": _message,
    }
    _ACTIONS: ClassVar[dict[str, "Act"]] = {
        "heartbeat": _heartbeat,
        "sms_received": _sms_received,
        "delivery_status": _delivery_status,
    }


Act = Callable[[CableConversation, str, dict[str, Any]], Answer]


def _send_sms(identifier: str, outgoing: Outgoing) -> str:
    payload = {
        "message_id": translation.app_id(outgoing.id),
        "phone_number": outgoing.to,
        "message_body": outgoing.content,
        "priority": translation.priority(outgoing.priority),
    }
    return _frame(identifier, "send_sms", payload)


def _frame(identifier: str, action: str, payload: dict[str, Any]) -> str:
    """A broadcast as Rails writes it: with the identifier and without a type, which crashes its own client."""
    return _compact({"identifier": identifier, "message": {"action": action, "payload": payload}})


def _compact(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))
