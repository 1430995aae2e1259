"""Claims due deliveries, sends and settles them, and runs the periodic tasks until it is stopped."""

import logging
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from .. import clock as wall_clock
from ..addresses import Guard
from ..core.operations import copy_marks
from ..core.webhooks import claiming, settling
from ..core.webhooks.claiming import Claimed
from ..core.webhooks.due import MOST_CLAIMED, FreeThreads
from ..core.webhooks.outcomes import RetryRule
from ..core.webhooks.settling import Finished
from ..settings import Settings
from ..store import migrations
from ..store.change_listener import change_listener
from ..store.db import Database, Session
from . import attempts, steps
from .attempts import Carriers, OnResult
from .in_flight import InFlight
from .periodic_tasks import PeriodicTasks

TABLES_SECONDS = 1.0
# A notification may be lost, and what was put off is due without one.
POLL_SECONDS = 1.0
CONTENDED_SECONDS = 0.05
FINISH_SECONDS = 1.5
# A lease outlasts the commit, the request, and the time that settling may wait for the database.
IN_HAND = timedelta(seconds=5)
LEASE_MARGIN = IN_HAND + timedelta(seconds=15)
NO_THREADS = FreeThreads(0, 0)
# The next transaction may end later than this one did.
AHEAD_FACTOR = 2

_NEW = "the database is new: waiting for `serve` or `init` to create its tables"

log = logging.getLogger(__name__)


def run(settings: Settings, on_served: Callable[[], None] = lambda: None) -> None:
    """Run a worker in this process until SIGTERM or SIGINT. Calls `on_served` when it begins. For the main thread.

    Raises `Copied` where the database must not be served.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings.database_url)
    _wait_for_tables(database, stop)
    if not stop.is_set():
        copy_marks.refuse(database)
    on_served()
    Worker(settings, database).run(stop)
    database.close()


def _wait_for_tables(database: Database, stop: threading.Event) -> None:
    """Wait until the tables are of this version, because a worker makes none and may start before the server does."""
    noted = ""
    while not stop.is_set():
        hindrance = steps.attempt("find the tables", partial(_hindrance, database))
        if hindrance == "":
            return
        if hindrance is None and not noted:  # no file yet, for one
            hindrance = _NEW
        if hindrance and hindrance != noted:
            log.warning(hindrance)
            noted = hindrance
        stop.wait(TABLES_SECONDS)


def _hindrance(database: Database) -> str:
    """Return what keeps a worker from the tables; nothing where they can be used."""
    if not database.has_tables():
        return _NEW
    try:
        revision = migrations.current(database)
    except migrations.HalfRestored as error:
        return str(error)
    return "" if revision == migrations.head() else migrations.mismatch(revision)


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
        self._tasks = PeriodicTasks(settings, database, self.id, clock)
        self._in_flight = InFlight(self._begin, settings.threads)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, and end within two seconds of it.

        An attempt that has not ended by then is left to its lease, after which the delivery is claimed again.
        """
        log.info("worker %s has started", self.id)
        helpers = [
            threading.Thread(target=work, args=(stop,), daemon=True)
            for work in (self._listen, self._tasks.run)
        ]
        for helper in helpers:
            helper.start()
        patience = 0.0
        while not stop.is_set():
            patience = self._step(self._in_flight.ended(patience))
        self._finish(helpers)
        log.info("worker %s has ended", self.id)

    def _step(self, finished: Sequence[Finished]) -> float:
        """Settle what has ended and hand out what is due; return how long to wait for the next thing to end."""
        if not finished and not steps.attempt("look for deliveries", self._is_due):
            return POLL_SECONDS
        taken = self._settle(finished, self._free_threads(finished))
        # Where something is due and nothing was claimed, another worker is serving these endpoints just now.
        return CONTENDED_SECONDS if taken == 0 else POLL_SECONDS

    def _settle(self, finished: Sequence[Finished], free: FreeThreads) -> int | None:
        taken = steps.attempt("settle and take", lambda: self._settle_and_take(finished, free))
        if taken is None:
            # One result that cannot be stored must not keep the others from being stored.
            for one in finished:
                alone = partial(self._settle_and_take, [one], NO_THREADS)
                steps.attempt(f"settle {one.delivery_id}", alone)
        return taken

    def _is_due(self) -> bool:
        free = self._free_threads()
        if free.threads <= 0:
            return False
        return claiming.is_due(self._database, free, self._clock())

    def _settle_and_take(self, finished: Sequence[Finished], free: FreeThreads) -> int:
        """Settle what has finished and claim what is due, in one transaction: it costs more than many requests."""
        now = self._clock()
        with self._database.transaction() as session:
            lost = settling.settle(session, finished, self._rule, now) if finished else []
            taken = self._take(session, free, now)
        for one in lost:
            log.warning("delivery %s took longer than its lease", one.delivery_id)
        self._hand_out(taken)
        return len(taken)

    def _take(self, session: Session, free: FreeThreads, now: datetime) -> list[Claimed]:
        lease = timedelta(seconds=self._settings.webhook_timeout_seconds) + LEASE_MARGIN
        return claiming.take(session, free, now + lease, now) if free.threads > 0 else []

    def _hand_out(self, taken: Sequence[Claimed]) -> None:
        if taken and self._clock() > taken[0].taken_at + IN_HAND:
            # Their leases might end before their requests do, so they become due again instead.
            unsent = [Finished(one.endpoint_id, one.delivery_id, one.claim, None) for one in taken]
            self._settle(unsent, NO_THREADS)
            return
        for claimed in taken:
            self._in_flight.begin(claimed)

    def _free_threads(self, finished: Sequence[Finished] = ()) -> FreeThreads:
        """Return what may be claimed, ahead as many as have just ended: no thread waits for the next transaction."""
        most = self._settings.threads
        ended = [one.endpoint_id for one in finished if one.result and one.result.is_success]
        ahead = {one: AHEAD_FACTOR * count for one, count in Counter(ended).items()}
        return FreeThreads(
            min(max(MOST_CLAIMED, most), most + sum(ahead.values())) - len(self._in_flight),
            max(1, most // 4) - self._in_flight.slow_count,
            self._in_flight.counts(),
            ahead,
        )

    def _begin(self, claimed: Claimed, on_result: OnResult) -> object:
        seconds = self._settings.webhook_timeout_seconds
        return attempts.begin(claimed, self._carriers, seconds, self._clock(), on_result)

    def _listen(self, stop: threading.Event) -> None:
        listener = change_listener(self._database, stop)
        while not stop.is_set():
            if listener.wait(POLL_SECONDS):
                self._in_flight.wake()
        listener.close()

    def _finish(self, helpers: list[threading.Thread]) -> None:
        """Wait a moment for attempts that are nearly done, settle them, and abort the rest."""
        deadline = time.monotonic() + FINISH_SECONDS
        self._in_flight.give_back()
        is_over = False
        while not is_over:
            is_over = not self._in_flight or time.monotonic() >= deadline
            finished = self._in_flight.ended(0.0 if is_over else deadline - time.monotonic())
            if finished:
                self._settle(finished, NO_THREADS)
        self._carriers.abort_requests()
        for helper in helpers:
            helper.join(max(0.0, deadline - time.monotonic()))
