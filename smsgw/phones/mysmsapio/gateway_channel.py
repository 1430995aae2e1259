"""Performs the actions of the app on its channel: its heartbeat, a received SMS, and the status of a sent one."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from ... import clock
from ...core.devices.locking import NOT_ADMITTED
from ...core.devices.protocols import MYSMSAPIO
from ...errors import GatewayError, Invalid
from ...http.context import Services
from ...live.conversation import Answer
from ...live.device_socket import DeviceSocket
from . import frames, translation

CHANNEL = "GatewayChannel"

_LOG = logging.getLogger("smsgw.cable")


class GatewayChannel:
    """The channel of one device's socket."""

    def __init__(self, services: Services, socket: DeviceSocket) -> None:
        self._services = services
        self._socket = socket

    def perform(self, identifier: str, data: dict[str, Any]) -> Answer:
        """Answer `{"action", "payload"}`, or the same with the payload's fields beside the action.

        Raises one of `NOT_ADMITTED` for a device that may not come in. Any other error is logged without an answer.
        """
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
            device_id = self._socket.login.device_id
            _LOG.warning("%s of device %s: %s", data["action"], device_id, error.message)
            return []

    def note_sighting(self, now: datetime) -> None:
        """Note that the app showed a sign of life now."""
        self._services.last_seen_writer.note(self._socket.login, now, None, MYSMSAPIO)

    def _heartbeat(self, _identifier: str, _payload: dict[str, Any]) -> Answer:
        if self._socket.is_void(self._socket.find_row()):
            return frames.DISCONNECT
        self.note_sighting(clock.now())
        return []

    def _sms_received(self, identifier: str, payload: dict[str, Any]) -> Answer:
        now = clock.now()
        login = self._socket.login
        try:
            with self._services.database.transaction() as session:
                message_id = translation.take_sms(
                    session, self._services.settings, login, payload, now
                )
        except Invalid as error:
            with self._services.database.transaction() as session:
                translation.keep_unreadable(session, login, payload, error.message, now)
            raise
        return [frames.broadcast(identifier, "sms_received_ack", {"message_id": message_id})]

    def _delivery_status(self, _identifier: str, payload: dict[str, Any]) -> Answer:
        with self._services.database.transaction() as session:
            translation.take_status(
                session, self._services.settings, self._socket.login, payload, clock.now()
            )
        self._socket.ask_again_at = 0.0
        return []

    _ACTIONS: ClassVar[dict[str, "Act"]] = {
        "heartbeat": _heartbeat,
        "sms_received": _sms_received,
        "delivery_status": _delivery_status,
    }


Act = Callable[[GatewayChannel, str, dict[str, Any]], Answer]
