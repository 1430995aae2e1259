"""Defines which dispatches a device has in hand: those that take a place, may be handed out again, or are in doubt."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import SQLColumnExpression

from ...sms import statuses
from ...store.models import Dispatch
from ...store.queries import written_out
from . import protocols

NEVER_AFTER = timedelta(days=3)
# The stock app waits for at most 90 minutes between two tries.
IDLE_AFTER = timedelta(hours=2)
SENDING_COUNTS_FOR = timedelta(minutes=10)
# The first report may come with the second poll (app 1.7 reports only what it has begun to send), and one poll may have
# begun before the phone was set up.
DOUBTED_FOR_POLLS = 3

DEVICE_ID: sa.BindParameter[str] = sa.bindparam("device_id", type_=sa.String)


def takes_a_place(
    sending_since: datetime | SQLColumnExpression[datetime],
    sending_until: datetime | SQLColumnExpression[datetime],
) -> sa.ColumnElement[bool]:
    """Return the condition of `is_in_flight`, between moments that are given."""
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


@dataclass(frozen=True)
class Load:
    """The messages that a device has in hand: their number, the last change of a status, and how many are idle."""

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

    It is leased, accepted, or sending for less than ten minutes. Stuck ones do not count, because ten of them would
    keep all other messages from the phone.
    """
    return takes_a_place(now - SENDING_COUNTS_FOR, now + SENDING_COUNTS_FOR)


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


def has_unconfirmed(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
    """Return the condition that something may be handed to this device again. Takes the values of `moments`."""
    return sa.exists().where(is_unconfirmed(device_id))


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
