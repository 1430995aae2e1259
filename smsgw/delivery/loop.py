"""The worker: takes due deliveries, gives each a thread, and does the chores until it is told to stop."""

import logging
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from .. import clock as wall_clock
from .. import metrics
from ..addresses import Guard
from ..core import outcomes
from ..core.outcomes import RetryRule
from ..core.retries import Result
from ..live.wakeup import doorbell
from ..settings import Settings
from ..store.db import Database
from . import claim, steps
from .attempt import Carriers, send
from .chores import Chores
from .claim import Claimed, Room

LOOK_SECONDS = 0.5
CONTENDED_SECONDS = 0.05
GATHER_SECONDS = 0.01
FAREWELL_SECONDS = 1.5
# A lease outlasts the request and what the settling may have to wait for the database.
LEASE_MARGIN = timedelta(seconds=20)

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Runs a worker in this process until SIGTERM or SIGINT. For the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings.database_url, pool_size=settings.threads + 4)
    Worker(settings, database).run(stop)
    database.close()


class Worker:
    """One worker; any number of them may share a database. `settings.threads` attempts run at the same time."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        carriers: Carriers | None = None,
        clock: Callable[[], datetime] = wall_clock.now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.id = f"{socket.gethostname()}:{os.getpid()}"
        self._settings = settings
        self._database = database
        self._carriers = carriers or Carriers(Guard(settings.webhook_allowed_networks))
        self._clock = clock
        self._rule = RetryRule(settings.webhook_retry_schedule, chance)
        self._chores = Chores(settings, database, self.id, clock)
        self._running: dict[tuple[str, str], Claimed] = {}
        self._running_lock = threading.Lock()
        self._wake = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, and ends within two seconds of it.

        An attempt that is not done by then is left to its lease: the delivery is taken again later.
        """
        log.info("worker %s has started", self.id)
        helpers = [
            threading.Thread(target=work, args=(stop,), daemon=True)
            for work in (self._listen, self._chores.run)
        ]
        for helper in helpers:
            helper.start()
        while not stop.is_set():
            self._wake.clear()
            if not steps.attempt("take deliveries", self._begin_attempts):
                self._wake.wait(LOOK_SECONDS)
            if self._running:
                # Threads that get free at nearly the same time are given work by one claim.
                time.sleep(GATHER_SECONDS)
        self._say_farewell(helpers)
        log.info("worker %s has ended", self.id)

    def _begin_attempts(self) -> bool:
        """Gives each delivery that is due a thread, as far as there are free ones; whether to look again at once."""
        room = self._room()
        if room.threads <= 0:
            return False
        with self._database.reading() as session:
            if not claim.is_due(session, room, self._clock()):
                return False
        for claimed in self._take(room):
            with self._running_lock:
                self._running[claimed.delivery_id, claimed.claim] = claimed
            threading.Thread(target=self._attempt, args=(claimed,), daemon=True).start()
        return True

    def _take(self, room: Room) -> list[Claimed]:
        now = self._clock()
        lease = timedelta(seconds=self._settings.webhook_timeout_seconds) + LEASE_MARGIN
        with self._database.transaction() as session:
            taken = claim.take(session, room, now + lease, now)
        if not taken:
            # Another worker is at these endpoints at this moment.
            self._wake.wait(CONTENDED_SECONDS)
        return taken

    def _room(self) -> Room:
        with self._running_lock:
            running = list(self._running.values())
        most = self._settings.threads
        slow = sum(claimed.is_slow for claimed in running)
        return Room(most - len(running), max(1, most // 4) - slow)

    def _attempt(self, claimed: Claimed) -> None:
        steps.attempt(f"deliver {claimed.delivery_id}", lambda: self._send_and_settle(claimed))
        with self._running_lock:
            del self._running[claimed.delivery_id, claimed.claim]
        self._wake.set()

    def _send_and_settle(self, claimed: Claimed) -> bool:
        seconds = self._settings.webhook_timeout_seconds
        result = send(claimed, self._carriers, seconds, self._clock)
        metrics.ATTEMPTS.labels(_outcome(result)).inc()
        with self._database.transaction() as session:
            is_settled = outcomes.settle(
                session,
                claimed.endpoint_id,
                claimed.delivery_id,
                claimed.claim,
                result,
                self._rule,
                self._clock(),
            )
        if not is_settled:
            log.warning("delivery %s took longer than its lease", claimed.delivery_id)
        return is_settled

    def _listen(self, stop: threading.Event) -> None:
        bell = doorbell(self._database)
        while not stop.is_set():
            if bell.wait(LOOK_SECONDS):
                self._wake.set()
        bell.close()

    def _say_farewell(self, helpers: list[threading.Thread]) -> None:
        """Waits a moment for what is nearly done."""
        deadline = time.monotonic() + FAREWELL_SECONDS
        for helper in helpers:
            helper.join(max(0.0, deadline - time.monotonic()))
        while self._running and time.monotonic() < deadline:
            self._wake.wait(0.05)
            self._wake.clear()


def _outcome(result: Result) -> str:
    """For counting: `2xx` and so on by status code, or the error's class."""
    return result.error or f"{(result.status_code or 0) // 100}xx"
