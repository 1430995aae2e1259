"""The worker: takes due deliveries, has them sent, settles them, and does the chores until it is told to stop."""

import logging
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from .. import clock as wall_clock
from .. import metrics
from ..addresses import Guard
from ..core import settling
from ..core.outcomes import RetryRule
from ..core.retries import Result
from ..core.settling import Finished
from ..live.wakeup import doorbell
from ..settings import Settings
from ..store.db import Database
from . import claim, steps
from .attempt import Carriers, send
from .chores import Chores
from .claim import Claimed, Room
from .senders import Senders, unsent

LOOK_SECONDS = 0.5
CONTENDED_SECONDS = 0.05
FAREWELL_SECONDS = 1.5
# A lease outlasts the wait for a thread, the request, and what the settling may have to wait for the database.
IN_HAND = timedelta(seconds=5)
LEASE_MARGIN = IN_HAND + timedelta(seconds=15)
NO_ROOM = Room(0, 0)
MOST_AHEAD = 2

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
        self._senders = Senders(settings.threads, self._send)

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, and ends within two seconds of it.

        An attempt that is not done by then is left to its lease: the delivery is taken again later.
        """
        log.info("worker %s has started", self.id)
        self._senders.start()
        helpers = [
            threading.Thread(target=work, args=(stop,), daemon=True)
            for work in (self._listen, self._chores.run)
        ]
        for helper in helpers:
            helper.start()
        patience = 0.0
        while not stop.is_set():
            patience = self._turn(self._senders.ended(patience))
        self._say_farewell(helpers)
        log.info("worker %s has ended", self.id)

    def _turn(self, finished: Sequence[Finished]) -> float:
        """Settles what has ended and hands out what is due; returns how long to wait for the next thing to end."""
        if not finished and not steps.attempt("look for deliveries", self._is_due):
            return LOOK_SECONDS
        taken = self._settle(finished, self._room(len(finished)))
        # Where something is due and none was had, another worker is at these endpoints at this moment.
        return CONTENDED_SECONDS if taken == 0 else LOOK_SECONDS

    def _settle(self, finished: Sequence[Finished], room: Room) -> int | None:
        taken = steps.attempt("settle and take", lambda: self._settle_and_take(finished, room))
        if taken is None:
            # What cannot be written down must take no other with it.
            for one in finished:
                alone = partial(self._settle_and_take, [one], NO_ROOM)
                steps.attempt(f"settle {one.delivery_id}", alone)
        return taken

    def _is_due(self) -> bool:
        room = self._room(0)
        if room.threads <= 0:
            return False
        with self._database.reading() as session:
            return claim.is_due(session, room, self._clock())

    def _settle_and_take(self, finished: Sequence[Finished], room: Room) -> int:
        """In one transaction for all that has come up since the last: it costs more than a request."""
        now = self._clock()
        lease = timedelta(seconds=self._settings.webhook_timeout_seconds) + LEASE_MARGIN
        with self._database.transaction() as session:
            lost = settling.settle(session, finished, self._rule, now) if finished else []
            taken = claim.take(session, room, now + lease, now) if room.threads > 0 else []
        for one in lost:
            log.warning("delivery %s took longer than its lease", one.delivery_id)
        for claimed in taken:
            self._senders.hand(claimed)
        return len(taken)

    def _room(self, ended: int) -> Room:
        """For each free thread one, and as many ahead as have just ended: so many will have ended again by the time
        that this is written down. Where attempts take long, nothing is kept waiting here that another could send."""
        most, taken = self._settings.threads, self._senders.on_their_way.values()
        ahead = min(ended, MOST_AHEAD * most)
        slow = sum(claimed.is_slow for claimed in taken)
        return Room(most + ahead - len(taken), max(1, most // 4) - slow)

    def _send(self, claimed: Claimed) -> Finished:
        if self._clock() > claimed.taken_at + IN_HAND:
            return unsent(claimed)
        seconds = self._settings.webhook_timeout_seconds
        result = send(claimed, self._carriers, seconds, self._clock)
        metrics.ATTEMPTS.labels(_outcome(result)).inc()
        return replace(unsent(claimed), result=result)

    def _listen(self, stop: threading.Event) -> None:
        bell = doorbell(self._database, stop)
        while not stop.is_set():
            if bell.wait(LOOK_SECONDS):
                self._senders.wake()
        bell.close()

    def _say_farewell(self, helpers: list[threading.Thread]) -> None:
        """Waits a moment for what is nearly done, settles it, and gives back what no thread has begun."""
        deadline = time.monotonic() + FAREWELL_SECONDS
        finished = self._senders.stop()
        while finished or (self._senders.on_their_way and time.monotonic() < deadline):
            if finished:
                self._settle(finished, NO_ROOM)
            finished = self._senders.ended(max(0.0, deadline - time.monotonic()))
        for helper in helpers:
            helper.join(max(0.0, deadline - time.monotonic()))


def _outcome(result: Result) -> str:
    """For counting: `2xx` and so on by status code, or the error's class."""
    return result.error or f"{(result.status_code or 0) // 100}xx"
