"""Limits how many messages of a CRM, and for a device, wait in the queue; exact over all processes.

A row says how much room is left, so that the queue is counted only when the row has no room left or is a minute old.
Messages that leave the queue are not noted: until the next count there is more room than the row says, never less.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Invalid, TooMany
from ...settings import Settings
from ...store.inserts import InsertNew
from ...store.models import Message, QueueRoom
from ...store.queries import Change, Query
from ...store.rows import AnyCrm, MessageRow
from ...store.tables import plain
from ..devices import lanes
from ..devices import queue as device_queue

COUNTED_FOR = timedelta(minutes=1)
RETRY_AFTER_SECONDS = 30

_ROOMS = plain(QueueRoom)
_TAKE = Query(
    int,
    sa.update(_ROOMS)
    .where(
        _ROOMS.c.key == sa.bindparam("queue", type_=sa.String),
        _ROOMS.c.most == sa.bindparam("limit", type_=sa.Integer),
        _ROOMS.c.room >= sa.bindparam("wanted", type_=sa.Integer),
        _ROOMS.c.counted_at > sa.bindparam("oldest", type_=_ROOMS.c.counted_at.type),
        _ROOMS.c.counted_at <= sa.bindparam("newest", type_=_ROOMS.c.counted_at.type),
    )
    .values(room=_ROOMS.c.room - sa.bindparam("wanted", type_=sa.Integer))
    .returning(_ROOMS.c.room),
)
_TAKE_ANYWAY = Change(
    sa.update(_ROOMS)
    .where(_ROOMS.c.key == sa.bindparam("queue", type_=sa.String))
    .values(room=_ROOMS.c.room - sa.bindparam("wanted", type_=sa.Integer))
)

DeviceIds = Collection[str | None]


@dataclass(frozen=True)
class _LimitedQueue:
    """A queue with a limit, and how many messages are to go into it."""

    key: str
    name: str
    most: int
    is_in: sa.ColumnElement[bool]
    wanted: int


class _Room(NamedTuple):
    key: str
    most: int
    room: int
    counted_at: datetime


_NEW_ROOMS = InsertNew(QueueRoom, _Room, conflict_on=[QueueRoom.key], returning=QueueRoom.key)


def apply_to(crm: AnyCrm, settings: Settings, device_id: str | None) -> bool:
    """Return whether a message of this CRM, for this device if it names one, goes into a queue with a limit."""
    has_device_limit = device_id is not None and settings.device_queue_limit is not None
    return has_device_limit or _limit_of(crm, settings) is not None


def take_room(
    session: Session, crm: AnyCrm, settings: Settings, device_ids: DeviceIds, now: datetime
) -> None:
    """Take room for one message for each of the devices named, `None` where a message names none.

    Raises `TooMany` where a queue is full, and `Invalid` where they would not fit into an empty one. The room is given
    back when the transaction is rolled back.
    """
    for queue in _queues(crm, settings, device_ids):
        if not _take(session, queue, now):
            _count(session, queue, now)


def take_room_anyway(session: Session, messages: Sequence[MessageRow]) -> None:
    """Take room for messages that return to their queues, even in a full one, whose room is then below zero."""
    counts = Counter(f"crm:{message.crm_id}" for message in messages)
    named = [lanes.find_device(message.lane) for message in messages]
    counts.update(f"device:{device_id}" for device_id in named if device_id is not None)
    # CRMs first, as everywhere.
    _TAKE_ANYWAY.run_each(
        session, [{"queue": key, "wanted": count} for key, count in sorted(counts.items())]
    )


def _limit_of(crm: AnyCrm, settings: Settings) -> int | None:
    return settings.queue_limit if crm.queue_limit is None else crm.queue_limit


def _queues(crm: AnyCrm, settings: Settings, device_ids: DeviceIds) -> Iterator[_LimitedQueue]:
    """Yield the queues in one order everywhere, so that two transactions wait for each other and do not deadlock."""
    most = _limit_of(crm, settings)
    if most is not None and device_ids:
        name = "of this CRM"
        yield _LimitedQueue(f"crm:{crm.id}", name, most, Message.crm_id == crm.id, len(device_ids))
    if settings.device_queue_limit is None:
        return
    counts = Counter(device_id for device_id in device_ids if device_id is not None)
    for device_id, count in sorted(counts.items()):
        name, is_in = f"for the device {device_id!r}", Message.lane.in_(lanes.of_device(device_id))
        yield _LimitedQueue(f"device:{device_id}", name, settings.device_queue_limit, is_in, count)


def _take(session: Session, queue: _LimitedQueue, now: datetime) -> bool:
    """Return whether the row has room; it is locked until the commit then."""
    taken = _TAKE.find(
        session,
        queue=queue.key,
        limit=queue.most,
        wanted=queue.wanted,
        oldest=now - COUNTED_FOR,
        newest=now + COUNTED_FOR,
    )
    return taken is not None


def _count(session: Session, queue: _LimitedQueue, now: datetime) -> None:
    """Count the queue and take the room. The row is locked first, so that all who took room before have committed."""
    _NEW_ROOMS.new(session, [_Room(queue.key, queue.most, 0, now)])
    is_this = QueueRoom.key == queue.key
    session.execute(sa.select(QueueRoom.key).where(is_this).with_for_update())
    waiting = sa.select(sa.func.count()).where(queue.is_in, device_queue.IS_QUEUED)
    count = session.scalars(waiting).one()
    room = queue.most - count - queue.wanted
    if room < 0:
        raise _refusal(queue, count)
    session.execute(
        sa.update(QueueRoom).where(is_this).values(most=queue.most, room=room, counted_at=now)
    )


def _refusal(queue: _LimitedQueue, count: int) -> TooMany | Invalid:
    if queue.wanted > queue.most:
        text = f"{queue.wanted:,} messages do not fit into the queue {queue.name}"
        return Invalid(f"{text}, which holds {queue.most:,}", code="queue_limit")
    return TooMany(
        f"the queue {queue.name} is full: {count:,} of at most {queue.most:,} messages wait in it",
        code="queue_full",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
