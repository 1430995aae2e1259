"""A device's socket, whichever protocol it speaks: whether it is still the device's own, and what it is handed."""

import time
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeVar

from .. import clock
from ..core.devices import sockets
from ..core.devices.locking import NOT_ADMITTED
from ..core.devices.logins import Login
from ..core.messages import handing_out
from ..core.messages.handing_out import Outgoing
from ..settings import Settings
from ..store.db import Database

REST_SECONDS = 1.0


class Standing(Enum):
    """What a device's row says to one of its sockets."""

    OWN = "it is the device's own"
    VOID = "its key is not valid any more"
    REPLACED = "the device has opened a newer one"
    LOST = "the device has none: a newer one came and has gone again"


class Line:
    """One socket of a device. `rests_until` is when it is worth asking again, after it was found to have enough."""

    def __init__(self, settings: Settings, database: Database, login: Login) -> None:
        self.login = login
        self.socket_id = sockets.new_id()
        self.rests_until = 0.0
        self._settings = settings
        self._database = database

    def find_row(self) -> sockets.SocketRow | None:
        """What the device's row says now."""
        with self._database.reading() as session:
            return sockets.find(session, self.login.device_id)

    def standing(self, row: sockets.SocketRow | None) -> Standing:
        """What the row means for this socket, once it has claimed it."""
        if row is None or self.is_void(row):
            return Standing.VOID
        if row.socket_id == self.socket_id:
            return Standing.OWN
        return Standing.LOST if row.socket_id is None else Standing.REPLACED

    def is_void(self, row: sockets.SocketRow | None) -> bool:
        """Whether the key that the socket was opened with is void."""
        return row is None or not row.enabled or row.secret_hash != self.login.secret_hash

    def take(self, now: datetime) -> list[Outgoing]:
        """What the device is to send now; looks before it begins to write."""
        if not sockets.has_work(self._database, self.login.device_id, now):
            return []
        outgoing: list[Outgoing] = []
        if handing_out.has_work(self._database, self.login.device_id, self._settings, now):
            outgoing = self._hand_out(now)
        if not outgoing:
            # It has all it may have for now; asking each moment whether that is still so would be a waste.
            self.rests_until = time.monotonic() + REST_SECONDS
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


class HasLine(Protocol):
    """A conversation that holds a line."""

    line: Line


Held = TypeVar("Held", bound=HasLine)


def look(database: Database, conversations: Sequence[Held]) -> list[Held]:
    """Those whose device may have messages waiting, except who has just found that it may take none."""
    moment = time.monotonic()
    ready = [one for one in conversations if one.line.rests_until <= moment]
    if not ready:
        return []
    with database.reading() as session:
        waiting = sockets.waiting(session, {one.line.login.device_id for one in ready}, clock.now())
    return [one for one in ready if one.line.login.device_id in waiting]
