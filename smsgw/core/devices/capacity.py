"""Calculates how many messages and segments a device may be handed now."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import SQLColumnExpression

from ...settings import Settings
from ...sms import statuses
from ...store.db import Database
from ...store.models import Dispatch
from ...store.queries import Query, written_out
from . import protocols

NEVER_AFTER = timedelta(days=3)
# The stock app waits for at most 90 minutes between two tries.
IDLE_AFTER = timedelta(hours=2)
SENDING_COUNTS_FOR = timedelta(minutes=10)
# The first sign of what it has may come with the second poll (app 1.7 reports only what it has begun to send), and one
# poll may have been on its way already when the phone was set up.
DOUBTED_FOR_POLLS = 3
_SEGMENTS_WINDOW = timedelta(seconds=60)

DEVICE_ID: sa.BindParameter[str] = sa.bindparam("device_id", type_=sa.String)


@dataclass(frozen=True)
class Capacity:
    """What a device has in hand, how many places are left beside it, and how many segments in this minute."""

    in_hand: int
    places: int
    segments: int


class _InUse(NamedTuple):
    in_hand: int
    segments: int


def _takes_a_place(
    sending_since: datetime | SQLColumnExpression[datetime],
    sending_until: datetime | SQLColumnExpression[datetime],
) -> sa.ColumnElement[bool]:
    return sa.and_(
        is_active(),
        Dispatch.stuck_at.is_(None),
        sa.or_(
            Dispatch.status != statuses.SENDING,
            sa.and_(Dispatch.status_at > sending_since, Dispatch.status_at <= sending_until),
        ),
    )


def is_active(dispatch: type[Dispatch] = Dispatch) -> sa.ColumnElement[bool]:
    """Return the condition on `Dispatch`, or an alias of it, that its phone may still be sending it."""
    return dispatch.status.in_([written_out(status) for status in statuses.ACTIVE])


def moment(name: str) -> sa.BindParameter[datetime]:
    """Return the parameter for one of `moments` in a statement."""
    return sa.bindparam(name, type_=Dispatch.status_at.type)


_IN_USE = Query(
    _InUse,
    sa.select(
        sa.select(sa.func.count())
        .where(
            Dispatch.device_id == DEVICE_ID,
            _takes_a_place(moment("sending_since"), moment("sending_until")),
        )
        .scalar_subquery()
        .label("in_hand"),
        sa.select(sa.func.coalesce(sa.func.sum(Dispatch.segments), 0))
        .where(
            Dispatch.device_id == DEVICE_ID,
            Dispatch.last_handed_out_at > moment("minute_began"),
            Dispatch.last_handed_out_at <= moment("minute_ends"),
        )
        .scalar_subquery()
        .label("segments"),
    ),
)


def left(session: Session, device_id: str, settings: Settings, now: datetime) -> Capacity:
    """Return how much this device may be handed now."""
    return _left(_IN_USE.one(session, device_id=device_id, **_bounds(now)), settings)


def read_left(database: Database, device_id: str, settings: Settings, now: datetime) -> Capacity:
    """Return the same without a transaction, for callers that decide whether to begin one."""
    in_use = _IN_USE.read(database, device_id=device_id, **_bounds(now))
    return _left(in_use or _InUse(0, 0), settings)


def _left(in_use: _InUse, settings: Settings) -> Capacity:
    return Capacity(
        in_use.in_hand,
        settings.in_flight_per_device - in_use.in_hand,
        settings.segments_per_minute - in_use.segments,
    )


@dataclass(frozen=True)
class Load:
    """How many messages a device has in hand, when the status of one last changed, and how many are idle."""

    in_hand: int
    moved_at: datetime
    idle_count: int


def loads(session: Session, now: datetime) -> dict[str, Load]:
    """Return the loads of the devices that have something in hand, by their names."""
    is_idle = sa.and_(Dispatch.status == statuses.ACCEPTED, Dispatch.status_at <= now - IDLE_AFTER)
    found = session.execute(
        sa.select(
            Dispatch.device_id,
            sa.func.count(),
            sa.func.max(Dispatch.status_at),
            sa.func.count().filter(is_idle),
        )
        .where(is_in_flight(now))
        .group_by(Dispatch.device_id)
    )
    return {
        device_id: Load(count, moved_at, idle_count)
        for device_id, count, moved_at, idle_count in found
    }


def is_in_flight(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition on `Dispatch` that it counts against the device's capacity.

    Leased, accepted, or sending for less than ten minutes. Stuck ones do not count, or ten of them would silence
    a phone permanently.
    """
    return _takes_a_place(now - SENDING_COUNTS_FOR, now + SENDING_COUNTS_FOR)


def is_tried_again(dispatch: type[Dispatch] = Dispatch) -> sa.ColumnElement[bool]:
    """Return the condition that a resend replaced a dispatch, but its phone tries again and may still send it."""
    return sa.and_(
        is_active(dispatch),
        dispatch.superseded_at.is_not(None),
        dispatch.acknowledged_at.is_not(None),
        dispatch.stuck_at.is_(None),
    )


def is_never_confirmed() -> sa.ColumnElement[bool]:
    """Return the condition that a dispatch was handed out, no report about it has come, and no resend replaced it."""
    return sa.and_(
        is_active(),
        Dispatch.status == written_out(statuses.DISPATCHED),
        Dispatch.acknowledged_at.is_(None),
        Dispatch.superseded_at.is_(None),
    )


def is_unconfirmed(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
    """Return the condition on `Dispatch` that it may be handed to this device again. Takes the values of `moments`."""
    return sa.and_(
        is_never_confirmed(),
        Dispatch.device_id == device_id,
        Dispatch.in_doubt_since.is_(None),
        Dispatch.lease_until <= moment("now"),
        protocols.is_of_devices_protocol(),
        protocols.has_hand_outs_left(),
        Dispatch.handed_out_at > moment("oldest"),
    )


def has_doubts(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
    """Return the condition that this device has dispatches in doubt, for which its polls count.

    Takes the values of `moments`.
    """
    return sa.exists().where(
        is_in_doubt(device_id),
        sa.or_(
            Dispatch.polls_in_doubt < DOUBTED_FOR_POLLS,
            Dispatch.lease_until <= moment("now"),
        ),
    )


def is_in_doubt(device_id: str | SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
    """Return the condition on `Dispatch` that its device was set up before it had confirmed this one."""
    return sa.and_(
        is_never_confirmed(), Dispatch.device_id == device_id, Dispatch.in_doubt_since.is_not(None)
    )


def moments(now: datetime) -> dict[str, datetime]:
    """Return the times that the statements about the queue and unconfirmed dispatches need, at this moment."""
    return {"now": now, "oldest": now - NEVER_AFTER}


def _bounds(now: datetime) -> dict[str, datetime]:
    # A time in the future was written before the clock was set back, or by a server whose clock is a little ahead.
    return {
        "sending_since": now - SENDING_COUNTS_FOR,
        "sending_until": now + SENDING_COUNTS_FOR,
        "minute_began": now - _SEGMENTS_WINDOW,
        "minute_ends": now + _SEGMENTS_WINDOW,
    }
