"""Talks to a device over its socket, frame by frame.

A device sees the dispatch's id as the id of an outgoing SMS. The conversation is pure: a frame comes in, frames go out.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from .. import clock, json_reader
from ..core.devices import locking, presence, sockets
from ..core.devices.locking import NOT_ADMITTED
from ..core.devices.logins import Login
from ..core.devices.protocols import SOCKET
from ..core.messages import batches, quarantine, receiving, report_rules, reports
from ..core.messages.handing_out import Outgoing
from ..core.messages.history import writing_history
from ..core.messages.receiving import Received
from ..core.messages.reports import Report
from ..http.context import Services
from ..live.conversation import Answer, Close, Drop, Kind
from ..live.device_socket import DeviceSocket, SocketState, find_ready
from ..sms import phone_times, statuses
from ..sms.texts import storable, text_of
from ..store.db import Database
from . import frames
from .frames import Frame, FrameError

MAX_ID = 200
# A device may report QUEUED for an SMS that it has stored.
STATUS = {
    "QUEUED": statuses.ACCEPTED,
    "SENT": statuses.SENT,
    "DELIVERED": statuses.DELIVERED,
    "FAILED": statuses.FAILED,
    "ERROR": statuses.FAILED,
}
REVOKED = Close(frames.CLOSE_REVOKED, "the token is no longer valid")
_CLOSING_ANSWERS: dict[SocketState, Answer] = {
    SocketState.VOID: [REVOKED],
    SocketState.REPLACED: [Close(frames.CLOSE_REPLACED, "the device has opened a newer socket")],
    SocketState.LOST: [Drop()],
}


def _inspect(
    database: Database, conversations: Sequence["DeviceConversation"]
) -> list["DeviceConversation"]:
    """Return the conversations whose token is void or whose device has a newer socket."""
    with database.reading() as session:
        rows = sockets.find_all(session)
    return [one for one in conversations if one.socket.state(rows.get(one.key)) in _CLOSING_ANSWERS]


KIND = Kind(
    "device sockets",
    find_ready=find_ready,
    inspect=_inspect,
    needs_live_line=True,
    too_big=Close(frames.CLOSE_TOO_BIG, "a frame has at most 64 KiB"),
)


class DeviceConversation:
    """One device's side of the socket; see `live.conversation.Conversation` for when each method is called."""

    kind = KIND

    def __init__(self, services: Services, login: Login) -> None:
        self.key = login.device_id
        self.socket = DeviceSocket(services.settings, services.database, login)
        self._services = services

    def opened(self) -> Answer:
        now = clock.now()
        try:
            with self._services.database.transaction() as session:
                sockets.claim(session, self.socket.login, SOCKET, self.socket.socket_id, now)
        except NOT_ADMITTED:
            return [REVOKED]
        self._note_sighting(now)
        return self.work()

    def received(self, message: str | bytes) -> Answer:
        try:
            # A device sends its frame once: an SMS is kept whatever numbers stand beside it.
            return frames.answer(message, self._handle, json_reader.read_tolerantly)
        except NOT_ADMITTED:
            return [REVOKED]

    def work(self) -> Answer:
        state = self.socket.state(self.socket.find_row())
        if state in _CLOSING_ANSWERS:
            return _CLOSING_ANSWERS[state]
        now = clock.now()
        return [self._send_message(one, now) for one in self.socket.take(now)]

    def last_messages(self) -> Sequence[str]:
        return []

    def alive(self) -> None:
        self._note_sighting(clock.now())

    def closed(self) -> None:
        now = clock.now()
        with self._services.database.transaction() as session:
            presence.leave(session, self.key, self.socket.socket_id, now)

    def _handle(self, frame: Frame) -> Answer:
        act = self._ACTS.get(frame.event)
        if act is None:
            raise FrameError("forbidden", f"a device may not send {frame.event}")
        if text_of(frame.data.get("deviceId", self.key)) != self.key:
            raise FrameError("forbidden", "deviceId is not the device of this token")
        message_id = frame.data.get("messageId")
        act(self, {**frame.data, "messageId": text_of(message_id)})
        fields = {"messageId": message_id, "event": frame.event}
        return [frames.write("ack", fields, frame_id=frame.frame_id)]

    def _received(self, data: dict[str, Any]) -> None:
        now = clock.now()
        with self._services.database.transaction() as session:
            device = locking.admit(session, self.socket.login)
            fault = _sms_fault(data)
            if fault is None:
                region = self._services.settings.default_region
                with writing_history(session, now) as history:
                    receiving.receive(session, device, region, [_received(data, now)], history)
            else:
                quarantine.keep(session, self.key, [batches.unreadable(data, fault)], now)
        if fault is not None:
            raise FrameError("invalid_payload", fault)

    def _status(self, data: dict[str, Any]) -> None:
        frames.text(data, "messageId", MAX_ID)
        word = frames.text(data, "status", MAX_ID)
        status = STATUS.get(word.upper())
        if status is None:
            raise FrameError("invalid_payload", f"status must be one of {', '.join(STATUS)}")
        reason = data.get("error")
        reason = storable(reason) if isinstance(reason, str) and reason else None
        report = Report(storable(data["messageId"]).lower(), word.upper(), status, reason)
        with self._services.database.transaction() as session:
            device = locking.admit(session, self.socket.login)
            settings = self._services.settings
            with writing_history(session, clock.now()) as history:
                reports.apply(session, device, [report], report_rules.NEVER_BACK, settings, history)
        self.socket.ask_again_at = 0.0

    def _send_message(self, one: Outgoing, now: datetime) -> str:
        data = {
            "deviceId": self.key,
            "messageId": one.id,
            "receiver": one.to,
            "content": one.content,
            "timestamp": frames.moment(now),
        }
        return frames.write(frames.SEND_MESSAGE, data)

    def _note_sighting(self, now: datetime) -> None:
        self._services.last_seen_writer.note(self.socket.login, now, None, SOCKET)

    _ACTS: ClassVar[dict[str, Callable[["DeviceConversation", dict[str, Any]], None]]] = {
        frames.MESSAGE_RECEIVED: _received,
        frames.MESSAGE_STATUS: _status,
    }


def _sms_fault(data: dict[str, Any]) -> str | None:
    if not 1 <= len(data["messageId"] or "") <= MAX_ID:
        return f"messageId must be a text of 1 to {MAX_ID} characters"
    sender, content = text_of(data.get("sender")), text_of(data.get("content"))
    return receiving.fault(sender, content, sender_name="sender", content_name="content")


def _received(data: dict[str, Any], now: datetime) -> Received:
    return Received(
        phone_id=storable(data["messageId"]),
        from_number=storable(text_of(data.get("sender")) or ""),
        content=storable(text_of(data.get("content")) or ""),
        device_received_at=phone_times.read(data.get("timestamp")) or now,
    )
