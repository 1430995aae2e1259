"""What is said on `/cable`: Rails' Action Cable protocol, `actioncable-v1-json`, with one channel.

The conversation is pure: a frame comes in, frames go out. What is malformed is passed over in silence, as Rails does.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from .. import clock
from ..core import handout, sockets
from ..core.devices import Login
from ..core.handout import Outgoing
from ..core.protocols import MYSMSAPIO
from ..errors import GatewayError, Invalid
from ..live.conversation import Answer, Close, Drop, Kind
from ..store.db import Database
from . import gateway
from .gateway import Gateway

CHANNEL = "GatewayChannel"
BEAT_SECONDS = 3.0
MOST_SUBSCRIPTIONS = 16
# A device that has not sent its heartbeat by then is asked for one, before it counts as offline.
ASK_AFTER = timedelta(seconds=90)
REST_SECONDS = 1.0

_WELCOME = '{"type":"welcome"}'
_RESTART = '{"type":"disconnect","reason":"server_restart","reconnect":true}'
_REMOTE = '{"type":"disconnect","reason":"remote","reconnect":false}'
_SENT_AWAY: Answer = [_REMOTE, Close(1000)]

_LOG = logging.getLogger("smsgw.cable")


def _look(database: Database, conversations: Sequence["Conversation"]) -> list["Conversation"]:
    """Those whose device may have messages waiting, except who has just found that it may take none."""
    moment = time.monotonic()
    ready = [one for one in conversations if one.is_subscribed and one.rests_until <= moment]
    if not ready:
        return []
    with database.reading() as session:
        waiting = sockets.waiting(session, {one.key for one in ready}, clock.now())
    return [one for one in ready if one.key in waiting]


def _inspect(database: Database, conversations: Sequence["Conversation"]) -> list["Conversation"]:
    """Those whose key is void, whose device has a newer socket, or whose heartbeat is late."""
    now = clock.now()
    with database.reading() as session:
        rows = sockets.find_all(session)
    return [
        one
        for one in conversations
        if one.is_subscribed
        and (one.is_unwelcome(rows.get(one.key)) or one.is_late(rows[one.key], now))
    ]


def _beat() -> str:
    return _compact({"type": "ping", "message": int(clock.now().timestamp())})


KIND = Kind("cable", look=_look, inspect=_inspect, beat=_beat, beat_seconds=BEAT_SECONDS)


class Conversation:
    """One gateway's side of the cable; see `live.conversation.Conversation` for when each method is called."""

    kind = KIND

    def __init__(self, served: Gateway, login: Login) -> None:
        self.key = login.device_id
        self.rests_until = 0.0
        self._gateway = served
        self._secret_hash = login.secret_hash
        self._socket_id = sockets.new_id()
        self._identifiers: list[str] = []
        self._asked_at: datetime | None = None

    @property
    def is_subscribed(self) -> bool:
        """Whether messages may be sent to it."""
        return bool(self._identifiers)

    def opened(self) -> Answer:
        return [_WELCOME]

    def farewell(self) -> Sequence[str]:
        return [_RESTART]

    def alive(self) -> None:
        """A sign of the socket's life is none of the app's: that is its heartbeat."""

    def closed(self) -> None:
        if self._identifiers:
            self._release()

    def received(self, text: str) -> Answer:
        command = _object(text) or {}
        identifier = command.get("identifier")
        act = self._COMMANDS.get(str(command.get("command")))
        if act is None or not isinstance(identifier, str):
            return []
        return act(self, identifier, command)

    def work(self) -> Answer:
        row = self._row()
        if self._is_void(row) or (self.is_subscribed and self.is_unwelcome(row)):
            return self._goodbye(row)
        now = clock.now()
        asked = self._ask_for_heartbeat(now) if row and self.is_late(row, now) else []
        return [*asked, *(self._hand_out(now) if self.is_subscribed else [])]

    def is_unwelcome(self, row: sockets.Row | None) -> bool:
        """Whether the device's row says that this socket is not its own any more."""
        return self._is_void(row) or row is None or row.socket_id != self._socket_id

    def is_late(self, row: sockets.Row, now: datetime) -> bool:
        """Whether the app is to be asked for a heartbeat."""
        last = max(filter(None, [row.last_seen_at, self._asked_at]), default=None)
        return self.is_subscribed and last is not None and last <= now - ASK_AFTER

    def _row(self) -> sockets.Row | None:
        with self._gateway.database.reading() as session:
            return sockets.find(session, self.key)

    def _goodbye(self, row: sockets.Row | None) -> Answer:
        """Sends the app away; where the row names no socket, a newer one came and has gone, and it has to come back."""
        if row is not None and row.socket_id is None and not self._is_void(row):
            return [Drop()]
        return _SENT_AWAY

    def _release(self) -> None:
        with self._gateway.database.transaction() as session:
            sockets.release(session, self.key, self._socket_id)

    def _is_void(self, row: sockets.Row | None) -> bool:
        return row is None or not row.enabled or row.secret_hash != self._secret_hash

    def _subscribe(self, identifier: str, _command: dict[str, Any]) -> Answer:
        if identifier in self._identifiers:
            return []
        wanted = _object(identifier)
        if wanted is None:
            return []
        if wanted.get("channel") != CHANNEL or len(self._identifiers) >= MOST_SUBSCRIPTIONS:
            return [_compact({"identifier": identifier, "type": "reject_subscription"})]
        now = clock.now()
        if self._is_void(self._row()):
            return _SENT_AWAY
        with self._gateway.database.transaction() as session:
            sockets.claim(session, self.key, MYSMSAPIO, self._socket_id, now)
        self._gateway.note_sighting(now)
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
        data = _object(command.get("data")) or {}
        act = self._ACTIONS.get(str(data.get("action")))
        if act is None:
            return []
        payload = data.get("payload")
        if not isinstance(payload, dict):
            payload = {name: value for name, value in data.items() if name != "action"}
        try:
            return act(self, identifier, payload)
        except GatewayError as error:
            _LOG.warning("%s of device %s: %s", data["action"], self.key, error.message)
            return []

    def _heartbeat(self, _identifier: str, _payload: dict[str, Any]) -> Answer:
        self._gateway.note_sighting(clock.now())
        return []

    def _sms_received(self, identifier: str, payload: dict[str, Any]) -> Answer:
        now = clock.now()
        try:
            with self._gateway.database.transaction() as session:
                message_id = gateway.take_sms(session, self._gateway, payload, now)
        except Invalid as error:
            with self._gateway.database.transaction() as session:
                gateway.keep_unreadable(session, self._gateway, payload, error.message, now)
            raise
        return [_frame(identifier, "sms_received_ack", {"message_id": message_id})]

    def _delivery_status(self, _identifier: str, payload: dict[str, Any]) -> Answer:
        with self._gateway.database.transaction() as session:
            gateway.take_status(session, self._gateway, payload, clock.now())
        self.rests_until = 0.0
        return []

    def _ask_for_heartbeat(self, now: datetime) -> list[str]:
        self._asked_at = now
        return [_frame(identifier, "ping", {}) for identifier in self._identifiers]

    def _hand_out(self, now: datetime) -> list[str]:
        database, settings = self._gateway.database, self._gateway.settings
        if not sockets.has_queue(database, self.key, now):
            return []
        outgoing: list[Outgoing] = []
        if handout.has_work(database, self.key, settings, now):
            with database.transaction() as session:
                outgoing = sockets.hand_out(session, self.key, self._socket_id, settings, now)
        if not outgoing:
            # It has all it may have for now; asking each moment whether that is still so would be a waste.
            self.rests_until = time.monotonic() + REST_SECONDS
        # To one subscription alone, or the app would send each SMS as often as it subscribed.
        return [_send_sms(self._identifiers[-1], one) for one in outgoing]

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


Act = Callable[[Conversation, str, dict[str, Any]], Answer]


def _object(value: Any) -> dict[str, Any] | None:
    """The JSON object in a text, or the object itself; `None` for everything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _send_sms(identifier: str, outgoing: Outgoing) -> str:
    payload = {
        "message_id": gateway.app_id(outgoing.id),
        "phone_number": outgoing.to,
        "message_body": outgoing.content,
        "priority": gateway.priority(outgoing.priority),
    }
    return _frame(identifier, "send_sms", payload)


def _frame(identifier: str, action: str, payload: dict[str, Any]) -> str:
    """A broadcast as Rails writes it: with the identifier and without a type, which crashes its own client."""
    return _compact({"identifier": identifier, "message": {"action": action, "payload": payload}})


def _compact(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))
