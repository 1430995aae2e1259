"""Answers whether a device has work, and which queued messages it gets next.

All statements here use an index, however long the queue is.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.expression import SQLColumnExpression

from ...sms import statuses
from ...store.db import Database
from ...store.json_rows import JsonRows
from ...store.models import Crm, Device, Dispatch, Message
from ...store.queries import Query, not_null, written_out
from ...store.row_locks import IsLocked
from ...store.statements import Statement
from . import capacity, lanes, routing, usage
from .capacity import DEVICE_ID, moment

# The most messages that a device is handed at once.
MOST_AT_ONCE = 10
_PRIORITIES = range(9, -1, -1)
_EACH = sa.values(sa.column("priority", sa.Integer), name="each", literal_binds=True).data(
    [(priority,) for priority in _PRIORITIES]
)
_MOST: sa.BindParameter[int] = sa.bindparam("most", type_=sa.Integer)
# More segments than any message has.
ANY_SIZE = 32_000

IS_QUEUED = Message.status == written_out(statuses.QUEUED)
_EARLIER = aliased(Dispatch)
# Two phones must not try the same SMS: whether the second is needed depends on the first.
# Not `exists`, which PostgreSQL may join the other way round, to all that phones have in hand; and not `IS NULL`, which
# it believes to be so rare that it reads the whole queue.
_HAS_OTHER_PHONE = sa.select(sa.false()).where(
    _EARLIER.message_id == Message.id, capacity.is_tried_again(_EARLIER)
)
HAS_NO_OTHER_PHONE = sa.func.coalesce(
    _HAS_OTHER_PHONE.limit(1).correlate(Message).scalar_subquery(), sa.true()
)
IS_DUE = sa.and_(IS_QUEUED, Message.due_at <= moment("now"), Message.expires_at > moment("now"))
MAY_BE_SENT = sa.and_(IS_DUE, HAS_NO_OTHER_PHONE)
# Most polls that see what another phone is taking would begin to write in vain.
_IS_FREE = ~IsLocked(Message)


class Waiting(NamedTuple):
    """A message that is due, with the columns that order the queue, and what limits count of it."""

    id: str
    priority: int
    due_at: datetime
    segments: int
    to_number: str | None
    last_handed_out_at: datetime | None = None


def _next_in_queue(*conditions: sa.ColumnElement[bool]) -> Callable[[Dialect], Statement]:
    """Select and lock the next messages. Those that other phones have locked are skipped before they are counted.

    Both databases go through the priorities in their order and stop once they have enough, so that messages of a lower
    priority are not locked.
    """

    def made(dialect: Dialect) -> Statement:
        select = _laterally if dialect.name == "postgresql" else _priority_by_priority
        return select(*conditions)

    return made


def _priority_by_priority(*conditions: sa.ColumnElement[bool]) -> sa.CompoundSelect[Any]:
    parts = (sa.select(_first_of(priority, *conditions).subquery()) for priority in _PRIORITIES)
    return sa.union_all(*parts).limit(_MOST)


def _laterally(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select the same in one part: to plan ten takes PostgreSQL 10 ms on each connection."""
    first = _first_of(_EACH.c.priority, *conditions).lateral()
    return sa.select(first).select_from(_EACH.join(first, sa.true())).limit(_MOST)


def _first_of(
    priority: int | sa.ColumnElement[int], *conditions: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    """Select and lock what is next of one priority."""
    columns: list[Any] = [
        Message.id,
        Message.priority,
        not_null(Message.due_at),
        Message.segments,
        Message.to_number,
    ]
    return (
        sa.select(*columns)
        .where(
            MAY_BE_SENT,
            Message.lane == sa.bindparam("queue"),
            Message.priority == priority,
            Message.segments <= sa.bindparam("largest", type_=sa.Integer),
            *conditions,
        )
        .order_by(Message.due_at, Message.id)
        # Written out, so that one plan for all values uses the queue's order.
        .limit(sa.literal_column(str(MOST_AT_ONCE), sa.Integer))
        .with_for_update(of=Message, skip_locked=True)
    )


# A message may have been queued for the device by name before the device got another owner.
_IS_STILL_ITS = routing.is_for_device(DEVICE_ID)
_IS_KNOWN = usage.is_known_recipient()
_NEXT_IN_OWN_QUEUE = Query(Waiting, _next_in_queue(_IS_STILL_ITS))
_NEXT_IN_OPEN_QUEUE = Query(Waiting, _next_in_queue())
_NEXT_TO_KNOWN_IN_OWN_QUEUE = Query(Waiting, _next_in_queue(_IS_STILL_ITS, _IS_KNOWN))
_NEXT_TO_KNOWN_IN_OPEN_QUEUE = Query(Waiting, _next_in_queue(_IS_KNOWN))


def _queue_of_device(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[str]:
    return sa.literal(lanes.DEVICE) + device_id


def _queue_of_crm() -> sa.ColumnElement[str]:
    return sa.literal(lanes.CRM) + Crm.id


def _queue_of_sticky_senders(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[str]:
    return sa.literal(lanes.STICKY) + Crm.id + ":" + device_id


def _has_due(
    queue: sa.ColumnElement[str], *conditions: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    # Not `exists`, which PostgreSQL may join the other way round, from all messages to the queues; and in the order
    # of the queue's index, so that it takes that one also while it believes the queue to be next to empty.
    first = sa.select(Message.due_at).where(IS_DUE, Message.lane == queue, *conditions)
    first = first.order_by(Message.due_at).limit(1).correlate_except(Message)
    return first.scalar_subquery().is_not(None)


_DUE_QUEUES = sa.union_all(
    sa.select(_queue_of_device(Device.id).label("queue"))
    .where(_has_due(_queue_of_device(Device.id), routing.is_for_device(Device.id)))
    .correlate(Device),
    sa.select(_queue_of_crm())
    .where(routing.sends_by(Device.id), _has_due(_queue_of_crm()))
    .correlate(Device),
    sa.select(_queue_of_sticky_senders(Device.id))
    .where(
        routing.sends_by(Device.id),
        Crm.sticky_sender,
        _has_due(_queue_of_sticky_senders(Device.id)),
    )
    .correlate(Device),
).subquery()
# The queues in which something is due for a `Device`, along with its row: a list for each, with its name.
DUE_QUEUES = sa.select(JsonRows(_DUE_QUEUES.c.queue)).scalar_subquery()


def may_have_new() -> sa.ColumnElement[bool]:
    """Return the condition on `Device` that a message may be queued for it, which no other device is taking just now.

    It is for those who write nothing themselves, and takes the values of `capacity.moments`.
    """
    is_for_it = routing.is_for_device(Device.id)
    return sa.or_(
        _has_due(_queue_of_device(Device.id), _IS_FREE, is_for_it),
        sa.exists().where(
            routing.sends_by(Device.id),
            sa.or_(
                _has_due(_queue_of_crm(), _IS_FREE),
                sa.and_(Crm.sticky_sender, _has_due(_queue_of_sticky_senders(Device.id), _IS_FREE)),
            ),
        ),
    )


_HAS_ANY = sa.or_(may_have_new(), capacity.has_unconfirmed(Device.id))
_MAY_HAVE_WORK = Query(bool, sa.select(_HAS_ANY).where(Device.id == DEVICE_ID))


def read_may_have_work(database: Database, device_id: str, now: datetime) -> bool:
    """Return whether there may be something for the device, whether or not it may take it now; reads by index."""
    return _MAY_HAVE_WORK.read(database, device_id=device_id, **capacity.moments(now)) is True


def _has_work_for_known() -> sa.ColumnElement[bool]:
    is_known = usage.is_known_recipient()
    return sa.or_(
        _has_due(_queue_of_device(DEVICE_ID), _IS_FREE, routing.is_for_device(DEVICE_ID), is_known),
        sa.exists().where(
            routing.sends_by(DEVICE_ID), _has_due(_queue_of_crm(), _IS_FREE, is_known)
        ),
    )


_HAS_WORK_FOR_KNOWN = Query(bool, sa.select(_has_work_for_known()))


def read_has_work_for_known(database: Database, device_id: str, month: str, now: datetime) -> bool:
    """Return whether there is something for the device to a number it was handed messages for in the month."""
    found = _HAS_WORK_FOR_KNOWN.read(database, device_id=device_id, month=month, now=now)
    return found is True


def lock_next(
    session: Session,
    device_id: str,
    queues: Sequence[str],
    most: int,
    now: datetime,
    *,
    largest: int | None = None,
    month: str | None = None,
) -> list[Waiting]:
    """Lock and return the messages of these queues that this device gets next: by priority, due time, and age.

    They are `MOST_AT_ONCE` at most; those that another device is taking right now are left out. With `largest`, only
    messages of at most so many segments; with `month`, only messages to numbers that the device was handed messages
    for in that month.
    """
    values: dict[str, object] = {
        "most": most,
        "now": now,
        "largest": ANY_SIZE if largest is None else largest,
    }
    own_query, open_query = _NEXT_IN_OWN_QUEUE, _NEXT_IN_OPEN_QUEUE
    if month is not None:
        own_query, open_query = _NEXT_TO_KNOWN_IN_OWN_QUEUE, _NEXT_TO_KNOWN_IN_OPEN_QUEUE
        values |= {"month": month, "device_id": device_id}
    found: list[Waiting] = []
    for queue in queues:
        if lanes.is_open(queue):
            found += open_query.all(session, queue=queue, **values)
        else:
            found += own_query.all(session, queue=queue, **{**values, "device_id": device_id})
    found.sort(key=_order)
    return found[:most]


def _order(row: Waiting) -> tuple[int, datetime, str]:
    return -row.priority, row.due_at, row.id
