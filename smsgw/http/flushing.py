"""Writes what this process saw of the devices to the database: some seconds later, and when the process ends."""

import atexit
import logging
import threading
from datetime import datetime

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from . import guards
from .wiring import EXTENSION, House

AFTER_SECONDS = 3.0
FLUSHER = "smsgw.flusher"

_LOG = logging.getLogger("smsgw.presence")


class Flusher:
    """Sightings are written together: the first one starts a timer, and those that follow wait for it."""

    def __init__(self, served: House) -> None:
        self._served = served
        self._armed = threading.Lock()
        self._timer: threading.Timer | None = None
        atexit.register(self.write)

    def arm(self, answer: Response) -> Response:
        """Starts the timer after a device's request; in the process that serves, after any fork."""
        if guards.find_device() is not None:
            self.start()
        return answer

    def note(self, device_id: str, at: datetime, app_version: str | None, protocol: str) -> None:
        """Notes a sighting that was no request, such as words over a socket."""
        self._served.sightings.note(device_id, at, app_version, protocol)
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
            with self._served.database.transaction() as session:
                self._served.sightings.write(session)
        except SQLAlchemyError as error:
            _LOG.warning("sightings were not written: %s", type(error).__name__)


def register(app: Flask) -> None:
    """Makes the app write its sightings."""
    flusher = Flusher(app.extensions[EXTENSION])
    app.extensions[FLUSHER] = flusher
    app.after_request(flusher.arm)
