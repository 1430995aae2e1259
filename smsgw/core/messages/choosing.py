"""Chooses what a device is handed, and locks it: queued messages, and dispatches it has not confirmed.

A rule on what may be handed out is a condition of the statements here, or a number of `capacity`, which `has_work` of
`handing_out` reads too.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import statuses
from ...store.models import Dispatch, Message
from ...store.queries import Query, written_out
from ..devices import capacity
from ..devices import queue as device_queue
from ..devices.capacity import DEVICE_ID, moments

MOST_PER_ANSWER = 10


class _Sized(Protocol):
    """A row with the number of segments that its message takes."""

    @property
    def segments(self) -> int:
        """See `Message`."""


S = TypeVar("S", bound=_Sized)


class Unconfirmed(NamedTuple):
    """A dispatch that may be handed out once more, with its message's text."""

    id: str
    segments: int
    to_number: str | None
    content: str | None
    priority: int


class _Chosen(NamedTuple):
    id: str
    segments: int


_UNCONFIRMED = Query(
    Unconfirmed,
    sa.select(Dispatch.id, Message.segments, Message.to_number, Message.content, Message.priority)
    .join(Message, Message.id == Dispatch.message_id)
    .where(
        capacity.is_unconfirmed(DEVICE_ID),
        # Asked again once the message is locked: another phone may have sent it meanwhile.
        Message.status == written_out(statuses.DISPATCHED),
        Message.expires_at > capacity.moment("now"),
        device_queue.HAS_NO_OTHER_PHONE,
    )
    .order_by(Dispatch.lease_until, Dispatch.id)
    .limit(MOST_PER_ANSWER)
    # Messages before dispatches, as everybody locks them; what somebody else changes just now can wait for a poll.
    .with_for_update(of=Message, skip_locked=True),
)
_LOCK_QUEUED = Query(
    _Chosen,
    sa.select(Message.id, Message.segments)
    .where(
        Message.id.in_(sa.bindparam("wanted", expanding=True)),
        device_queue.MAY_BE_SENT,
    )
    .with_for_update(of=Message, skip_locked=True),
)


def choose_queued(
    session: Session, device_id: str, most: int, settings: Settings, now: datetime
) -> list[str]:
    """Lock and return the ids of at most so many queued messages, as many as the device's capacity allows."""
    left = capacity.left(session, device_id, settings, now)
    places = min(most, left.places)
    if places <= 0 or left.segments <= 0:
        return []
    waiting = _lock_next(session, device_id, places, now)
    return [row.id for row in _fitting(waiting, left.segments, settings)]


def choose_unconfirmed(
    session: Session, device_id: str, settings: Settings, now: datetime
) -> list[Unconfirmed]:
    """Lock and return the dispatches the device did not confirm within the lease, as many as the minute allows."""
    unconfirmed = _UNCONFIRMED.all(session, device_id=device_id, **moments(now))
    if not unconfirmed:
        return []
    left = capacity.left(session, device_id, settings, now)
    return _fitting(unconfirmed, left.segments, settings)


def _lock_next(session: Session, device_id: str, most: int, now: datetime) -> list[_Chosen]:
    """Lock the messages this device gets next. Those that another device is taking right now are left out."""
    wanted = device_queue.next_ids(session, device_id, 2 * most, now)
    if not wanted:
        return []
    free = {row.id: row for row in _LOCK_QUEUED.all(session, wanted=wanted, now=now)}
    return [free[message_id] for message_id in wanted if message_id in free][:most]


def _fitting(waiting: Sequence[S], left: int, settings: Settings) -> list[S]:
    """Return the first rows that fit into the minute's segments, in order: a long message is never passed over."""
    chosen: list[S] = []
    for row in waiting:
        has_whole_minute = not chosen and left == settings.segments_per_minute
        if row.segments > left and not has_whole_minute:
            break
        left -= row.segments
        chosen.append(row)
    return chosen
