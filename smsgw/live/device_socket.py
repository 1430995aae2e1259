"""Checks whether a socket is still the device's current one, and hands it messages, whichever protocol it speaks."""

import time
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeVar

from .. import clock
from ..core.devices import queue as device_queue
from ..core.devices import sockets
from ..core.devices.locking import NOT_ADMITTED
from ..core.devices.logins import Login
from ..core.messages import handing_out
from ..core.messages.handing_out import Outgoing
from ..settings import Settings
from ..store.db import Database

ASK_AGAIN_SECONDS = 1.0


class SocketState(Enum):
    """The state of a socket by its device's row."""

    OWN = "it is the device's current socket"
    VOID = "its key is no longer valid"
    REPLACED = "the device has opened a newer one"
    LOST = "the device has no socket: a newer one was opened and has closed again"


class DeviceSocket:
    """One socket of a device. No messages are looked for before `ask_again_at`."""

    def __init__(self, settings: Settings, database: Database, login: Login) -> None:
        self.login = login
        self.socket_id = sockets.new_id()
        self.ask_again_at = 0.0
        self._settings = settings
        self._database = database

    def find_row(self) -> sockets.SocketRow | None:
        """Return the device's row as it is now."""
        with self._database.reading() as session:
            return sockets.find(session, self.login.device_id)

    def state(self, row: sockets.SocketRow | None) -> SocketState:
        """Return the state of this socket, once it has claimed the row."""
        if row is None or self.is_void(row):
            return SocketState.VOID
        if row.socket_id == self.socket_id:
            return SocketState.OWN
        return SocketState.LOST if row.socket_id is None else SocketState.REPLACED

    def is_void(self, row: sockets.SocketRow | None) -> bool:
        """Return whether the key that the socket was opened with is void."""
        return row is None or not row.enabled or row.secret_hash != self.login.secret_hash

    def take(self, now: datetime) -> list[Outgoing]:
        """Hand out the device's next messages. Begins a write transaction only where there is something to hand out."""
        if not device_queue.read_may_have_work(self._database, self.login.device_id, now):
            return []
        outgoing: list[Outgoing] = []
        if handing_out.may_take(self._database, self.login.device_id, self._settings, now):
            outgoing = self._hand_out(now)
        if not outgoing:
            # The device has all that it may have for now; asking again at every change would be a waste.
            self.ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS
        return outgoing

    def _hand_out(self, now: datetime) -> list[Outgoing]:
        try:
            with self._database.transaction() as session:
                return handing_out.hand_out_to_socket(
                    session, self.login, self.socket_id, self._settings, now
                )
        except NOT_ADMITTED:
            # Its socket is closed at the next inspection.
            return []


class HasDeviceSocket(Protocol):
    """A conversation that has a device's socket."""

    socket: DeviceSocket


Held = TypeVar("Held", bound=HasDeviceSocket)


def find_ready(database: Database, conversations: Sequence[Held]) -> list[Held]:
    """Return the conversations whose device may have messages waiting and may take some."""
    moment = time.monotonic()
    ready = [one for one in conversations if one.socket.ask_again_at <= moment]
    if not ready:
        return []
    with database.reading() as session:
        waiting = sockets.waiting(
            session, {one.socket.login.device_id for one in ready}, clock.now()
        )
    return [one for one in ready if one.socket.login.device_id in waiting]
