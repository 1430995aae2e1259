"""Writes when devices were last seen and keys last used, a few seconds later and when the process ends."""

import atexit
import threading
from datetime import datetime

from ..core.accounts.key_uses import KeyUses
from ..core.devices.logins import Login
from ..core.devices.presence import Sightings
from ..store import outages
from ..store.db import Database

AFTER_SECONDS = 3.0
# Devices that are busy each time are waited for at every tenth write.
_WAITING_EVERY = 10


class LastSeenWriter:
    """Collects sightings and writes them together, 3 seconds after the first one.

    Its timer starts in the process that serves requests, after any fork.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sightings = Sightings()
        self.key_uses = KeyUses()
        self._armed = threading.Lock()
        self._timer: threading.Timer | None = None
        self._writes = 0
        atexit.register(self.write)

    def note(
        self,
        login: Login,
        at: datetime,
        app_version: str | None,
        protocol: str,
        is_quiet: bool = False,
    ) -> None:
        """Note that the device contacted the server; `is_quiet` says that it had nothing left to report."""
        self.sightings.note(login, at, app_version, protocol, is_quiet)
        self.start()

    def note_key(self, crm_id: str, at: datetime) -> None:
        """Note that the CRM's key was used."""
        if self.key_uses.note(crm_id, at):
            self.start()

    def start(self) -> None:
        """Start the timer unless it is running."""
        if self._armed.acquire(blocking=False):
            self._timer = threading.Timer(AFTER_SECONDS, self._fire)
            self._timer.daemon = True
            self._timer.start()

    def _fire(self) -> None:
        self._armed.release()
        self._writes += 1
        self._write_free()
        if self.key_uses:
            self._write_key_uses()
        if self.sightings and self._writes % _WAITING_EVERY == 0:
            self.write()

    def stop(self) -> None:
        """Stop writing, for an application that ends before its process."""
        atexit.unregister(self.write)
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def write(self) -> None:
        """Write the sightings now; those that cannot be written are noted again at the next poll."""
        try:
            with self._database.transaction() as session:
                self.sightings.write(session)
                self.key_uses.write(session)
        except outages.DatabaseError as error:
            outages.log.note(error)

    def _write_free(self) -> None:
        """Write the sightings of devices that nobody keeps waiting, in short transactions."""
        for part in self.sightings.split():
            try:
                with self._database.transaction() as session:
                    part.write_free(session)
            except outages.DatabaseError as error:
                outages.log.note(error)
            else:
                self.sightings.put_back(part)

    def _write_key_uses(self) -> None:
        try:
            with self._database.transaction() as session:
                self.key_uses.write(session)
        except outages.DatabaseError as error:
            outages.log.note(error)
