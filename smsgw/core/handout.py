"""Handing queued messages to a device that polls: who is next, how many, and what to do when it never confirms.

Rules: protocols of the stock app. A dispatch that is not acknowledged is handed out again to the same device with the
same id, because the phone sends a known id only once; one that is acknowledged never is. `protocols` has the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .. import ids
from ..settings import Settings
from ..sms.statuses import ACTIVE
from ..store.db import Database
from ..store.models import Crm, Device, Dispatch, Message
from . import protocols, routing
from .journal import Journal

MOST_PER_ANSWER = 10
NEVER_AFTER = timedelta(days=3)
SENDING_COUNTS_FOR = timedelta(minutes=10)
_SEGMENTS_WINDOW = timedelta(seconds=60)
_PRIORITIES = range(9, -1, -1)


@dataclass(frozen=True)
class Outgoing:
    """One message as it is handed to a phone: `id` is the dispatch's."""

    id: str
    to: str
    content: str
    priority: int


def has_something(device_id: Any) -> sa.ColumnElement[bool]:
    """Whether there may be anything for this device: a question answered by index, whatever the queue holds.

    It wants the values of `moments`.
    """
    lanes_of_crms = sa.select(sa.literal("c:") + Crm.id).where(routing.is_of_device(device_id))
    return sa.or_(
        sa.exists().where(_IS_DUE, Message.lane == sa.literal("d:") + device_id),
        sa.exists().where(_IS_DUE, Message.lane.in_(lanes_of_crms)),
        sa.exists().where(_is_unconfirmed(device_id, _moment("now"), _moment("oldest"))),
    )


def has_work(database: Database, device_id: str, settings: Settings, now: datetime) -> bool:
    """Whether a poll of this device would be handed anything: reads only, by index, whatever the queue holds."""
    found = database.look(_SOMETHING, device_id=device_id, **moments(now))
    if not found or not found[0]:
        return False
    with database.reading() as session:
        if segments_left(session, device_id, settings, now) <= 0:
            return False
        if in_flight_count(session, device_id, now) < settings.in_flight_per_device:
            return True
        unconfirmed = _is_unconfirmed(device_id, now, now - NEVER_AFTER)
        return session.scalar(sa.select(sa.exists().where(unconfirmed))) is True


def hand_out_again(
    session: Session, device: Device, settings: Settings, now: datetime
) -> list[Outgoing]:
    """Hands the device once more what it never confirmed within the lease, with the same ids."""
    rows = session.execute(
        sa.select(Dispatch, Message)
        .join(Message, Message.id == Dispatch.message_id)
        .where(_is_unconfirmed(device.id, now, now - NEVER_AFTER), Message.expires_at > now)
        .order_by(Dispatch.lease_until, Dispatch.id)
        .limit(MOST_PER_ANSWER)
        .with_for_update()
    )
    dispatches = {message: dispatch for dispatch, message in rows}
    left = segments_left(session, device.id, settings, now)
    chosen = _fitting(list(dispatches), left, settings)
    for message in chosen:
        dispatches[message].hand_out_count += 1
        dispatches[message].last_handed_out_at = now
        dispatches[message].lease_until = now + protocols.lease(device.protocol, settings)
    return [_outgoing(dispatches[message], message) for message in chosen]


def hand_out_new(
    session: Session, device: Device, settings: Settings, most: int, now: datetime
) -> list[Outgoing]:
    """Hands the device at most `most` queued messages: by priority, then due time, then age."""
    places = min(most, settings.in_flight_per_device - in_flight_count(session, device.id, now))
    left = segments_left(session, device.id, settings, now)
    if places <= 0 or left <= 0:
        return []
    chosen = _fitting(_next(session, device, places, now), left, settings)
    journal = Journal(now)
    outgoing = [
        _outgoing(_dispatch(session, message, device, settings, journal), message)
        for message in chosen
    ]
    journal.write(session)
    return outgoing


def is_in_flight(now: datetime) -> sa.ColumnElement[bool]:
    """A condition on `Dispatch`: it takes a place in the device's window.

    Leased, accepted, or sending for less than ten minutes. Stuck ones do not count, or ten of them would silence
    a phone for ever.
    """
    return sa.and_(
        is_active(),
        Dispatch.stuck_at.is_(None),
        Dispatch.superseded_at.is_(None),
        sa.or_(Dispatch.status != "sending", Dispatch.status_at > now - SENDING_COUNTS_FOR),
    )


def is_active() -> sa.ColumnElement[bool]:
    """A condition on `Dispatch`: its phone may still be at it."""
    # Written out, not bound: a partial index is used only where its condition stands in the query.
    return Dispatch.status.in_([sa.literal_column(f"'{status}'") for status in ACTIVE])


_IS_QUEUED = Message.status == sa.literal_column("'queued'")


def _is_unconfirmed(device_id: Any, now: Any, oldest: Any) -> sa.ColumnElement[bool]:
    return sa.and_(
        is_active(),
        Dispatch.device_id == device_id,
        Dispatch.status == sa.literal_column("'dispatched'"),
        Dispatch.acknowledged_at.is_(None),
        Dispatch.superseded_at.is_(None),
        Dispatch.lease_until <= now,
        protocols.is_of_devices_protocol(),
        protocols.has_hand_outs_left(),
        Dispatch.handed_out_at > oldest,
    )


def _moment(name: str) -> sa.BindParameter[datetime]:
    return sa.bindparam(name, type_=Message.created_at.type)


def moments(now: datetime) -> dict[str, datetime]:
    """The values that `has_something` wants."""
    return {"now": now, "oldest": now - NEVER_AFTER}


_DEVICE_ID = sa.bindparam("device_id", type_=sa.String)
_IS_DUE = sa.and_(_IS_QUEUED, Message.due_at <= _moment("now"), Message.expires_at > _moment("now"))
_SOMETHING = sa.select(has_something(_DEVICE_ID))
_DUE_LANES = sa.select(sa.literal("c:") + Crm.id).where(
    routing.is_of_device(_DEVICE_ID),
    sa.exists().where(_IS_DUE, Message.lane == sa.literal("c:") + Crm.id),
)
_NEXT_IN_LANE = sa.union_all(
    *(
        sa.select(
            sa.select(Message.id, Message.priority, Message.due_at)
            .where(_IS_DUE, Message.lane == sa.bindparam("lane"), Message.priority == priority)
            .order_by(Message.due_at, Message.id)
            .limit(sa.bindparam("most", type_=sa.Integer))
            .subquery()
        )
        for priority in _PRIORITIES
    )
)


def in_flight_count(session: Session, device_id: str, now: datetime) -> int:
    """How many places of its window the device has taken."""
    return (
        session.scalar(
            sa.select(sa.func.count()).where(Dispatch.device_id == device_id, is_in_flight(now))
        )
        or 0
    )


def segments_left(session: Session, device_id: str, settings: Settings, now: datetime) -> int:
    """How many segments the device may still get in this minute; one message always goes when none did."""
    used = session.scalar(
        sa.select(sa.func.sum(Dispatch.segments)).where(
            Dispatch.device_id == device_id, Dispatch.last_handed_out_at > now - _SEGMENTS_WINDOW
        )
    )
    return settings.segments_per_minute - (used or 0)


def _next(session: Session, device: Device, most: int, now: datetime) -> list[Message]:
    """The messages this device would get next, locked; ones another device is taking right now are left out."""
    lanes = [
        f"d:{device.id}",
        *session.scalars(_DUE_LANES, {"device_id": device.id, **moments(now)}),
    ]
    candidates = [
        row
        for lane in lanes
        for row in session.execute(_NEXT_IN_LANE, {"lane": lane, "most": 2 * most, **moments(now)})
    ]
    candidates.sort(key=lambda row: (-row.priority, row.due_at, row.id))
    wanted = [row.id for row in candidates[: 2 * most]]
    locked = session.scalars(
        sa.select(Message)
        .where(Message.id.in_(wanted), _IS_QUEUED)
        .with_for_update(skip_locked=True)
    )
    free = {message.id: message for message in locked}
    return [free[message_id] for message_id in wanted if message_id in free][:most]


def _fitting(messages: Sequence[Message], left: int, settings: Settings) -> list[Message]:
    """The first ones that go into the minute's segments. Order is kept, so a long message is never passed over."""
    chosen: list[Message] = []
    for message in messages:
        has_whole_minute = not chosen and left == settings.segments_per_minute
        if message.segments > left and not has_whole_minute:
            break
        left -= message.segments
        chosen.append(message)
    return chosen


def _dispatch(
    session: Session, message: Message, device: Device, settings: Settings, journal: Journal
) -> Dispatch:
    now = journal.now
    dispatch = Dispatch(
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
        retry_count=0,
    )
    session.add(dispatch)
    message.status = "dispatched"
    message.device_id = device.id
    message.from_number = device.phone
    message.updated_at = now
    journal.note(message, "dispatched", dispatch=dispatch)
    journal.tell("message.dispatched", message, [message.crm_id or ""])
    return dispatch


def _outgoing(dispatch: Dispatch, message: Message) -> Outgoing:
    return Outgoing(dispatch.id, message.to_number or "", message.content or "", message.priority)
