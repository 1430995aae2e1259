"""Runs the periodic tasks: heartbeat, expiry, unconfirmed and stuck messages, presence, removal of old data."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from .. import metrics
from ..core.devices import monthly_recipients, presence, silence_detection
from ..core.messages import bulk_sheets, endings, pausing, sticky_senders, unconfirmed
from ..core.operations import clock_changes, hourly_counts, housekeeping, retention
from ..settings import Settings
from ..store.db import Database, Session
from . import steps

TICK_SECONDS = 1.0
# Where there is more to do the next run comes sooner; the pause lets others write in between, and leaves them four
# fifths of the time also where all takes longer.
BUSY_SECONDS = 0.1
BUSY_FACTOR = 4
S = TypeVar("S", Session, Database)
T = TypeVar("T")


@dataclass(frozen=True)
class PeriodicTask:
    """A task that is due every `every_seconds`, and at once after `work` has returned that it found something.

    `is_worth_while` checks first, without a transaction: most seconds there is nothing to do.
    """

    name: str
    every_seconds: float
    work: Callable[[Session, datetime], int | None]
    is_worth_while: Callable[[Database, datetime], bool] | None = None


class PeriodicTasks:
    """All tasks of one worker, each in a separate transaction."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        worker_id: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._clock = clock
        self._tasks = _tasks(settings, worker_id)
        self._due = {task.name: 0.0 for task in self._tasks}

    def run(self, stop: threading.Event) -> None:
        """Run the tasks that are due, each second, until `stop` is set."""
        while not stop.is_set():
            began = time.monotonic()
            has_more = self.tick(began, stop)
            pause = max(BUSY_SECONDS, BUSY_FACTOR * (time.monotonic() - began))
            stop.wait(min(pause, TICK_SECONDS) if has_more else TICK_SECONDS)

    def tick(self, moment: float, stop: threading.Event) -> bool:
        """Run each task that is due at `moment`, in seconds of a monotonic clock. Returns whether one is due again."""
        has_more = False
        for task in self._tasks:
            if stop.is_set() or self._due[task.name] > moment:
                continue
            has_found = bool(steps.attempt(task.name, partial(self._do, task)))
            self._due[task.name] = moment + (0 if has_found else task.every_seconds)
            has_more |= has_found
        return has_more

    def _do(self, task: PeriodicTask) -> bool:
        if task.is_worth_while and not task.is_worth_while(self._database, self._clock()):
            return False
        with self._database.transaction() as session:
            return bool(task.work(session, self._clock()))


def _tasks(settings: Settings, worker_id: str) -> tuple[PeriodicTask, ...]:
    def heartbeat(session: Session, now: datetime) -> None:
        housekeeping.note_heartbeat(session, worker_id, now, metrics.attempt_counts())

    return (
        PeriodicTask("heartbeat", 5, heartbeat),
        *_message_tasks(settings),
        *_device_tasks(settings),
        *_removing_tasks(settings),
    )


def _message_tasks(settings: Settings) -> tuple[PeriodicTask, ...]:
    return (
        PeriodicTask("expire messages", 1, endings.expire_due, endings.has_overdue),
        PeriodicTask(
            "give up unconfirmed messages", 1, unconfirmed.give_up, unconfirmed.has_overdue
        ),
        PeriodicTask(
            "bring forward what a clock put off",
            5,
            _bound(clock_changes.bring_forward, settings),
            _bound(clock_changes.has_put_off, settings),
        ),
        PeriodicTask(
            "open what is kept for absent devices",
            1,
            _bound(sticky_senders.open_again, settings),
            _bound(sticky_senders.has_closed_lanes, settings),
        ),
        PeriodicTask("pause and resume", 1, pausing.move_next, pausing.has_more),
        PeriodicTask("mark stuck messages", 30, housekeeping.mark_stuck),
        PeriodicTask(
            "count by hours", 15, hourly_counts.count_up, _reading(hourly_counts.has_more)
        ),
    )


def _device_tasks(settings: Settings) -> tuple[PeriodicTask, ...]:
    return (
        PeriodicTask(
            "announce which devices come and go",
            1,
            _bound(presence.announce_changes, settings),
            _bound(presence.has_changes, settings),
        ),
        PeriodicTask(
            "announce silent devices",
            60,
            _bound(silence_detection.announce_changes, settings),
            _reading(_bound(silence_detection.has_changes, settings)),
        ),
        PeriodicTask(
            "count recipients of the month",
            5,
            _bound(monthly_recipients.count_next, settings),
            _bound(monthly_recipients.has_uncounted, settings),
        ),
    )


def _removing_tasks(settings: Settings) -> tuple[PeriodicTask, ...]:
    old_messages = retention.OldMessages(settings)
    return (
        PeriodicTask("empty old messages", 600, old_messages.empty, _reading(old_messages.find)),
        PeriodicTask("remove old events", 600, _bound(retention.remove_events, settings)),
        PeriodicTask("remove other old data", 600, _bound(retention.remove_rest, settings)),
        PeriodicTask("forget recipients of past months", 600, monthly_recipients.forget),
        PeriodicTask("forget idempotent requests", 600, housekeeping.forget_requests),
        PeriodicTask("forget workers", 600, housekeeping.forget_workers),
        PeriodicTask("forget uploads that nobody queued", 600, bulk_sheets.forget),
    )


def _bound(
    work: Callable[[S, Settings, datetime], T], settings: Settings
) -> Callable[[S, datetime], T]:
    return lambda place, now: work(place, settings, now)


def _reading(find: Callable[[Session, datetime], bool]) -> Callable[[Database, datetime], bool]:
    def find_in(database: Database, now: datetime) -> bool:
        with database.reading() as session:
            return find(session, now)

    return find_in
