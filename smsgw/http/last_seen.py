"""Writes what this process saw of the devices to the database: some seconds later, and when the process ends."""

import atexit
import threading
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from ..core.devices.logins import Login
from ..core.devices.presence import Sightings
from ..store import outages
from ..store.db import Database

AFTER_SECONDS = 3.0


class LastSeenWriter:
    """Sightings are written together: the first one starts a timer, and those that follow wait for it.

    It starts in the process that serves, after any fork.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sightings = Sightings()
        self._armed = threading.Lock()
        self._timer: threading.Timer | None = None
        atexit.register(self.write)

    def note(
        self,
        login: Login,
        at: datetime,
        app_version: str | None,
        protocol: str,
        is_quiet: bool = False,
    ) -> None:
        """Notes that the device was heard of, to be written soon; `is_quiet` says it had nothing left to report."""
        self.sightings.note(login, at, app_version, protocol, is_quiet)
        self.start()

    def start(self) -> None:
        """Starts the timer unless it runs."""
        if self._armed.acquire(blocking=False):
            self._timer = threading.Timer(AFTER_SECONDS, self._fire)
            self._timer.daemon = True
            self._timer.start()

    def _fire(self) -> None:
        self._armed.release()
        self.write()

    def stop(self) -> None:
        """Writes nothing any more: for an app that ends before its process does."""
        atexit.unregister(self.write)
        if self._timer is not None:
            self._timer.cancel()

    def write(self) -> None:
        """Writes them now; what cannot be written is seen again at the next poll."""
        try:
            with self._database.transaction() as session:
                self.sightings.write(session)
        except SQLAlchemyError as error:
            outages.log.note(error)
