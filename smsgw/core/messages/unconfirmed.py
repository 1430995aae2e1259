"""Fails messages that a phone was handed and never confirmed, or has forgotten.

The phone may have sent them anyway: the class of such a failure is `unconfirmed`, a later report still changes it, and
a resend has to accept that the SMS may arrive twice.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.db import Database
from ...store.models import Device, Dispatch, Message
from ...store.queries import Change, Query, written_out
from ...store.tables import plain
from ..devices import capacity, protocols
from ..devices.capacity import DEVICE_ID
from ..devices.locking import Locked
from . import dispatches
from .history import HistoryWriter, writing_history

_AT_ONCE = 500
_DOUBTED_WITHOUT_POLLS = timedelta(minutes=5)
_NEVER_CONFIRMED = "the phone never confirmed this message; it may have sent it all the same"
_SET_UP = (
    "the phone was set up anew, or given another secret, before it confirmed this message; "
    "it may have sent it all the same"
)
_FORGOTTEN = (
    "the phone was reset or removed while it had this message; it may have sent it all the same"
)


_SET_UP_NOW = Change(
    sa.update(plain(Device))
    .where(Device.id == DEVICE_ID)
    .values({Device.setup_revision: Device.revision})
)
_DOUBT = Change(
    sa.update(plain(Dispatch))
    .where(
        Dispatch.device_id == DEVICE_ID,
        Dispatch.in_doubt_since.is_(None),
        capacity.is_never_confirmed(),
    )
    .values({Dispatch.in_doubt_since: capacity.moment("now")})
)
_COUNT = Change(
    sa.update(plain(Dispatch))
    .where(capacity.is_in_doubt(DEVICE_ID), Dispatch.polls_in_doubt < capacity.DOUBTED_FOR_POLLS)
    .values({Dispatch.polls_in_doubt: Dispatch.polls_in_doubt + 1})
)
_HAS_ENDED = sa.or_(
    sa.not_(protocols.has_hand_outs_left()),
    Dispatch.handed_out_at <= capacity.moment("oldest"),
    Message.expires_at <= capacity.moment("now"),
    Message.status.in_([written_out(status) for status in statuses.WENT_OUT]),
    # A device that does not poll has no poll to wait for.
    sa.and_(
        Dispatch.in_doubt_since <= capacity.moment("doubted"),
        protocols.of_device() != protocols.CHT,
    ),
)
_IS_OVERDUE = sa.and_(
    capacity.is_never_confirmed(), Dispatch.lease_until <= capacity.moment("now"), _HAS_ENDED
)
_OVERDUE = Query(
    str,
    sa.select(Dispatch.id)
    .join(Message, Message.id == Dispatch.message_id)
    .where(_IS_OVERDUE)
    .limit(1),
)


def has_overdue(database: Database, now: datetime) -> bool:
    """Return whether `give_up` may find something. Takes no lock."""
    return _OVERDUE.read(database, **_times(now)) is not None


def give_up(session: Session, now: datetime) -> int:
    """Fail what no phone confirmed: after the last hand-out, three days, or its time to live.

    Fails some hundred at a time and returns how many. Rows that others have locked are left for the next time.
    """
    with writing_history(session, now) as history:
        return _fail(session, _IS_OVERDUE, _NEVER_CONFIRMED, history, skip_locked=True)


def doubt(session: Session, device: Locked, now: datetime) -> None:
    """Note that the phone was set up: its app checked its URL, or its secret changed.

    The app may be a new one that knows nothing of the earlier dispatches. So these are not handed out again: the next
    polls confirm them, or they fail. A poll that logged in before is handed nothing.
    """
    _SET_UP_NOW.run(session, device_id=device.id)
    _DOUBT.run(session, device_id=device.id, now=now)


def count_poll(session: Session, device: Locked, history: HistoryWriter) -> None:
    """Count a poll since the phone was set up, and fail the dispatches that it has not confirmed in so many polls."""
    has_been_asked = sa.and_(
        capacity.is_in_doubt(device.id),
        Dispatch.polls_in_doubt >= capacity.DOUBTED_FOR_POLLS - 1,
        Dispatch.lease_until <= history.now,
    )
    _fail(session, has_been_asked, _SET_UP, history, skip_locked=True)
    # Last, because messages are locked before dispatches.
    _COUNT.run(session, device_id=device.id)


def forget(session: Session, device_id: str, now: datetime) -> int:
    """Fail all messages that the device has in hand, because its phone has forgotten them; return how many.

    The device must be locked.
    """
    condition = sa.and_(capacity.is_active(), Dispatch.device_id == device_id)
    count = 0
    with writing_history(session, now) as history:
        while failed := _fail(session, condition, _FORGOTTEN, history):
            count += failed
    return count


def _times(now: datetime) -> dict[str, datetime]:
    return {**capacity.moments(now), "doubted": now - _DOUBTED_WITHOUT_POLLS}


def _fail(
    session: Session,
    condition: sa.ColumnElement[bool],
    reason: str,
    history: HistoryWriter,
    *,
    skip_locked: bool = False,
) -> int:
    """Fail the dispatches that meet the condition, which takes the values of `_times`; return how many."""
    times = _times(history.now)
    wanted = (
        sa.select(Message)
        .where(
            Message.id.in_(
                sa.select(Dispatch.message_id)
                .join(Message, Message.id == Dispatch.message_id)
                .where(condition)
                .order_by(Dispatch.message_id)
                .limit(_AT_ONCE)
            )
        )
        .order_by(Message.id)
        .with_for_update(skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    messages = {message.id: message for message in session.scalars(wanted, times)}
    # Read once their messages are locked, as wherever a dispatch is changed.
    found = session.scalars(
        sa.select(Dispatch)
        .join(Message, Message.id == Dispatch.message_id)
        .where(Dispatch.message_id.in_(messages), condition)
        .order_by(Dispatch.message_id, Dispatch.id)
        .execution_options(populate_existing=True),
        times,
    ).all()
    for dispatch in found:
        message = messages[dispatch.message_id]
        dispatches.fail_unconfirmed(message, dispatch, reason, history)
        dispatches.settle(message, dispatches.of_message(session, message.id), history)
    return len(found)
