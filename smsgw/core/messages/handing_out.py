"""Hands queued messages to a device that polls, and once more those it never confirmed.

Rules: protocols of the stock app. A dispatch that is not acknowledged is handed out again to the same device with the
same id, because the phone sends a known id only once; one that is acknowledged never is. `protocols` has the numbers,
`capacity` how much a device may be handed, `queue` what is next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...settings import Settings
from ...store.db import Database
from ...store.inserts import Insert
from ...store.models import Dispatch, Message
from ...store.queries import Change, Query
from ...store.rows import MESSAGE_COLUMNS, DispatchRow, MessageRow
from ...store.tables import plain
from ..devices import capacity, locking, protocols
from ..devices import queue as device_queue
from ..devices.capacity import DEVICE_ID, moments
from ..devices.locking import Locked
from ..devices.logins import Login
from .history import HistoryWriter, writing_history

MOST_PER_ANSWER = 10


@dataclass(frozen=True)
class Outgoing:
    """One message as it is handed to a phone: `id` is the dispatch's."""

    id: str
    to: str
    content: str
    priority: int


class _Sized(Protocol):
    """Something to hand out that takes so many segments of the minute."""

    @property
    def segments(self) -> int:
        """See `Message`."""


S = TypeVar("S", bound=_Sized)


class _Text(Protocol):
    """What a phone is handed of a message."""

    @property
    def to_number(self) -> str | None:
        """See `Message`."""

    @property
    def content(self) -> str | None:
        """See `Message`."""

    @property
    def priority(self) -> int:
        """See `Message`."""


class _Unconfirmed(NamedTuple):
    id: str
    segments: int
    to_number: str | None
    content: str | None
    priority: int


class _Queued(NamedTuple):
    id: str
    segments: int


_HAS_WORK = Query(bool, sa.select(device_queue.has_work(DEVICE_ID)))
_ANY_UNCONFIRMED = Query(bool, sa.select(sa.exists().where(capacity.is_unconfirmed(DEVICE_ID))))
_UNCONFIRMED = Query(
    _Unconfirmed,
    sa.select(Dispatch.id, Message.segments, Message.to_number, Message.content, Message.priority)
    .join(Message, Message.id == Dispatch.message_id)
    .where(
        capacity.is_unconfirmed(DEVICE_ID),
        # Asked again once the message is locked: another phone may have sent it meanwhile.
        Message.status == sa.literal_column("'dispatched'"),
        Message.expires_at > capacity.moment("now"),
        device_queue.IS_FREE,
    )
    .order_by(Dispatch.lease_until, Dispatch.id)
    .limit(MOST_PER_ANSWER)
    # Messages before dispatches, as everybody locks them; what somebody else changes just now can wait for a poll.
    .with_for_update(of=Message, skip_locked=True),
)


_CHOSEN: sa.BindParameter[Sequence[str]] = sa.bindparam("chosen", expanding=True)
_LEASE_AGAIN = Change(
    sa.update(plain(Dispatch))
    .where(Dispatch.id.in_(_CHOSEN))
    .values(
        {
            Dispatch.hand_out_count: Dispatch.hand_out_count + 1,
            Dispatch.last_handed_out_at: sa.bindparam("now"),
            Dispatch.lease_until: sa.bindparam("until"),
        }
    )
)
_LOCK_QUEUED = Query(
    _Queued,
    sa.select(Message.id, Message.segments)
    .where(
        Message.id.in_(sa.bindparam("wanted", expanding=True)),
        device_queue.IS_QUEUED,
        device_queue.IS_FREE,
    )
    .with_for_update(of=Message, skip_locked=True),
)
_TAKE = Query(
    MessageRow,
    sa.update(plain(Message))
    .where(Message.id.in_(_CHOSEN))
    .values(
        {
            Message.status: "dispatched",
            Message.device_id: sa.bindparam("device"),
            Message.from_number: sa.bindparam("phone"),
            Message.updated_at: sa.bindparam("now"),
        }
    )
    .returning(*MESSAGE_COLUMNS),
)
_DISPATCHES = Insert(Dispatch, DispatchRow)


def has_work(database: Database, device_id: str, settings: Settings, now: datetime) -> bool:
    """Whether a poll of this device would be handed anything: reads only, by index, whatever the queue holds."""
    if not _has(database, _HAS_WORK, device_id, now):
        return False
    left = capacity.read_left(database, device_id, settings, now)
    if left.segments <= 0:
        return False
    return left.places > 0 or _has(database, _ANY_UNCONFIRMED, device_id, now)


def _has(database: Database, question: Query[bool], device_id: str, now: datetime) -> bool:
    return question.read(database, device_id=device_id, **moments(now)) is True


def hand_out(
    session: Session, device: Locked, settings: Settings, history: HistoryWriter
) -> list[Outgoing]:
    """Hand the device what it never confirmed once more, and new messages where an answer has room for them."""
    again = _hand_out_again(session, device, settings, history.now)
    return again + hand_out_new(session, device, settings, history, MOST_PER_ANSWER - len(again))


def hand_out_to_socket(
    session: Session, login: Login, socket_id: str, settings: Settings, now: datetime
) -> list[Outgoing]:
    """Hand the device what it is to send now; nothing when this is not its socket. Raises what `admit` raises."""
    device = locking.admit(session, login)
    if device.socket_id != socket_id:
        return []
    with writing_history(session, now) as history:
        return hand_out(session, device, settings, history)


def hand_out_new(
    session: Session,
    device: Locked,
    settings: Settings,
    history: HistoryWriter,
    most: int = MOST_PER_ANSWER,
) -> list[Outgoing]:
    """Hand the device at most so many queued messages, as many as its capacity allows."""
    left = capacity.left(session, device.id, settings, history.now)
    places = min(most, left.places)
    if places <= 0 or left.segments <= 0:
        return []
    waiting = _lock_next(session, device.id, places, history.now)
    chosen = [row.id for row in _fitting(waiting, left.segments, settings)]
    return _dispatch(session, chosen, device, settings, history)


def _hand_out_again(
    session: Session, device: Locked, settings: Settings, now: datetime
) -> list[Outgoing]:
    """Hand out what was not confirmed within the lease, with the same ids."""
    unconfirmed = _UNCONFIRMED.all(session, device_id=device.id, **moments(now))
    if not unconfirmed:
        return []
    left = capacity.left(session, device.id, settings, now)
    chosen = _fitting(unconfirmed, left.segments, settings)
    if not chosen:
        return []
    lease_until = now + protocols.lease(device.protocol, settings)
    _LEASE_AGAIN.run(session, chosen=[row.id for row in chosen], now=now, until=lease_until)
    return [_outgoing(row.id, row) for row in chosen]


def _lock_next(session: Session, device_id: str, most: int, now: datetime) -> list[_Queued]:
    """The messages this device would get next, locked; ones another device is taking right now are left out."""
    wanted = device_queue.next_ids(session, device_id, 2 * most, now)
    if not wanted:
        return []
    free = {row.id: row for row in _LOCK_QUEUED.all(session, wanted=wanted)}
    return [free[message_id] for message_id in wanted if message_id in free][:most]


def _fitting(waiting: Sequence[S], left: int, settings: Settings) -> list[S]:
    """The first ones that go into the minute's segments. Order is kept, so a long message is never passed over."""
    chosen: list[S] = []
    for row in waiting:
        has_whole_minute = not chosen and left == settings.segments_per_minute
        if row.segments > left and not has_whole_minute:
            break
        left -= row.segments
        chosen.append(row)
    return chosen


def _dispatch(
    session: Session, chosen: list[str], device: Locked, settings: Settings, history: HistoryWriter
) -> list[Outgoing]:
    if not chosen:
        return []
    found = _TAKE.all(session, chosen=chosen, device=device.id, phone=device.phone, now=history.now)
    taken = {row.id: row for row in found}
    pairs = [
        (message, _new(message, device, settings, history.now))
        for message in [taken[message_id] for message_id in chosen]
    ]
    _DISPATCHES.all(session, [dispatch for _, dispatch in pairs])
    for message, dispatch in pairs:
        history.note(message, "dispatched", dispatch=dispatch)
        history.announce("message.dispatched", message, [message.crm_id or ""])
    return [_outgoing(dispatch.id, message) for message, dispatch in pairs]


def _new(message: MessageRow, device: Locked, settings: Settings, now: datetime) -> DispatchRow:
    return DispatchRow(
        id=ids.new_dispatch_id(),
        message_id=message.id,
        device_id=device.id,
        protocol=device.protocol,
        status="dispatched",
        status_at=now,
        segments=message.segments,
        hand_out_count=1,
        handed_out_at=now,
        last_handed_out_at=now,
        lease_until=now + protocols.lease(device.protocol, settings),
    )


def _outgoing(dispatch_id: str, message: _Text) -> Outgoing:
    return Outgoing(dispatch_id, message.to_number or "", message.content or "", message.priority)
