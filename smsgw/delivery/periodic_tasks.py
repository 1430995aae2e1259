"""The house's chores, which the worker does beside the post: beat, expire, give up, watch, remove what is old."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from ..core.devices import presence
from ..core.messages import endings, unconfirmed
from ..core.operations import housekeeping
from ..settings import Settings
from ..store.db import Database
from . import steps

TICK_SECONDS = 1.0
# Where there is more to do the next round comes sooner, and yet others get their turn to write.
BUSY_SECONDS = 0.1


@dataclass(frozen=True)
class Chore:
    """Something to do every so often. `work` returns how much it found; after a find it is due again at once.

    Where finding it takes long, `is_worth_while` looks first, in no transaction.
    """

    name: str
    every_seconds: float
    work: Callable[[Session, datetime], int | None]
    is_worth_while: Callable[[Session, datetime], bool] | None = None


class Chores:
    """All chores of one worker, each in a transaction of its own."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        worker_id: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._clock = clock
        self._chores = _chores(settings, worker_id)
        self._due = {chore.name: 0.0 for chore in self._chores}

    def run(self, stop: threading.Event) -> None:
        """Does what is due, each second, until told to stop."""
        while not stop.is_set():
            has_more = self.tick(time.monotonic(), stop)
            stop.wait(BUSY_SECONDS if has_more else TICK_SECONDS)

    def tick(self, moment: float, stop: threading.Event) -> bool:
        """Does each chore that is due at `moment`, in seconds of any steady clock; returns whether one is due again."""
        has_more = False
        for chore in self._chores:
            if stop.is_set() or self._due[chore.name] > moment:
                continue
            has_found = bool(steps.attempt(chore.name, partial(self._do, chore)))
            self._due[chore.name] = moment + (0 if has_found else chore.every_seconds)
            has_more |= has_found
        return has_more

    def _do(self, chore: Chore) -> bool:
        if chore.is_worth_while is not None:
            with self._database.reading() as session:
                if not chore.is_worth_while(session, self._clock()):
                    return False
        with self._database.transaction() as session:
            return bool(chore.work(session, self._clock()))


def _chores(settings: Settings, worker_id: str) -> tuple[Chore, ...]:
    def beat(session: Session, now: datetime) -> None:
        housekeeping.note_heartbeat(session, worker_id, now)

    def have_changed(session: Session, now: datetime) -> bool:
        return presence.have_changed(session, now, settings.device_offline_seconds)

    def tell_changes(session: Session, now: datetime) -> int:
        return presence.tell_changes(session, now, settings.device_offline_seconds)

    def purge(session: Session, now: datetime) -> int:
        return housekeeping.purge(session, settings, now)

    return (
        Chore("beat", 5, beat),
        Chore("expire messages", 1, endings.expire_due),
        Chore("give up unconfirmed messages", 1, unconfirmed.give_up),
        Chore("tell which devices come and go", 1, tell_changes, have_changed),
        Chore("look for stuck messages", 30, housekeeping.mark_stuck),
        Chore("remove what is too old", 600, purge),
        Chore("forget idempotent requests", 600, housekeeping.forget_requests),
    )
