"""Reads what waits in the queue, and checks that it is no more than the phones can send soon, and not forgotten."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import program
from ...settings import Settings
from ...store.models import Bulk, BulkMessage, Crm, Device, Message
from ..devices import lanes
from ..devices import queue as device_queue
from ..messages import next_steps, pace
from ..messages.ahead import Ahead
from . import spans
from .finding import Finding

WAITS_FOR = timedelta(minutes=15)
TAKES = timedelta(hours=1)
PAUSED_FOR = timedelta(hours=1)
_MOST_BULKS = 5
_FIRST_PAUSED, _AFTER_PAUSED = lanes.RANGE_OF_PAUSED


class WaitingLane(NamedTuple):
    """A lane, how many messages wait in it, how many of them are due, and since when the first of these is."""

    name: str
    queued_count: int
    due_count: int
    oldest_due_at: datetime | None


class Backlog(NamedTuple):
    """All lanes in which messages wait."""

    lanes: list[WaitingLane]

    @property
    def queued_count(self) -> int:
        """Return how many messages wait."""
        return sum(lane.queued_count for lane in self.lanes)

    @property
    def due_count(self) -> int:
        """Return how many messages are due."""
        return sum(lane.due_count for lane in self.lanes)

    @property
    def oldest_due_at(self) -> datetime | None:
        """Return since when the first of those that are due is."""
        found = (lane.oldest_due_at for lane in self.lanes)
        return min((moment for moment in found if moment is not None), default=None)

    def on_their_way(self) -> "Backlog":
        """Return the lanes that phones take from: those that are neither held nor paused."""
        return Backlog(
            [
                one
                for one in self.lanes
                if not (lanes.is_held(one.name) or lanes.is_paused(one.name))
            ]
        )


def read(session: Session, now: datetime) -> Backlog:
    """Return what waits."""
    is_due = Message.due_at <= now
    rows = session.execute(
        sa.select(
            Message.lane,
            sa.func.count(),
            sa.func.count(sa.case((is_due, 1))),
            sa.func.min(sa.case((is_due, Message.due_at))),
        )
        .where(device_queue.IS_QUEUED)
        .group_by(Message.lane)
    )
    return Backlog([WaitingLane(str(name), *counts) for name, *counts in rows])


def findings(
    session: Session, settings: Settings, now: datetime, devices: Sequence[Device], found: Backlog
) -> Iterator[Finding]:
    """Yield a finding if messages wait for long or will, and one for each bulk that has been paused for an hour."""
    sending = pace.of(devices, settings, now)
    yield from _due(session, found.on_their_way(), sending, now)
    if any(lanes.is_paused(lane.name) for lane in found.lanes):
        yield from _paused_bulks(session, now)


def _due(
    session: Session, found: Backlog, sending: Sequence[pace.SendingDevice], now: datetime
) -> Iterator[Finding]:
    if found.oldest_due_at is None:
        return
    # Each message has one segment at least.
    done_at = pace.done_at(sending, found.due_count, Ahead(0, True), now)
    is_long = done_at is not None and done_at >= now + TAKES
    if found.oldest_due_at > now - WAITS_FOR and not is_long:
        return
    since = spans.since(found.oldest_due_at, now)
    text = (
        f"{spans.counted(found.due_count, 'message')} should be sent now, the first since {since}"
    )
    if done_at is None:
        text += ", and no phone is online"
    elif is_long:
        text += f", and the phones that are online need at least {spans.text(done_at - now)}"
    loudest = _loudest(session, found)
    if loudest is not None:
        text += f". {loudest[1]:,} of them are from CRM {loudest[0]}; what others queue now waits behind them"
    advice = "a higher priority overtakes; pause or cancel what may wait, or add a phone"
    if done_at is None:
        advice = "look first at what is wrong with each phone, then cancel what is no longer wanted"
    command = program.line("messages --status queued")
    yield Finding("queue", "warning", text, f"see {command}; {advice}", advice)


def _loudest(session: Session, found: Backlog) -> tuple[str, int] | None:
    """Return the name of the CRM that has queued more than half of what is due beside others, and how much."""
    counts = Counter[str]()
    for lane in found.lanes:
        crm_id = lanes.crm_of(lane.name)
        if crm_id is not None:
            counts[crm_id] += lane.due_count
    for crm_id, count in counts.most_common(1):
        if found.due_count > count > found.due_count / 2:
            return session.get_one(Crm, crm_id).name, count
    return None


def _paused_bulks(session: Session, now: datetime) -> Iterator[Finding]:
    rows = session.execute(
        sa.select(Bulk.id, Bulk.name, Bulk.paused_by, Bulk.paused_at, sa.func.count())
        .join(BulkMessage, BulkMessage.bulk_id == Bulk.id)
        .join(Message, Message.id == BulkMessage.message_id)
        .where(
            device_queue.IS_QUEUED,
            Message.lane >= _FIRST_PAUSED,
            Message.lane < _AFTER_PAUSED,
            Bulk.paused_at <= now - PAUSED_FOR,
        )
        .group_by(Bulk.id)
        .order_by(Bulk.id)
        .limit(_MOST_BULKS)
    )
    for bulk_id, name, person, paused_at, count in rows:
        assert paused_at is not None
        waits = "message of it waits" if count == 1 else "messages of it wait"
        yield Finding(
            f"bulk {bulk_id}",
            "warning",
            f"“{name}” was paused by {person} at {spans.since(paused_at, now)}, and {count:,} {waits}",
            *next_steps.paused(),
        )
