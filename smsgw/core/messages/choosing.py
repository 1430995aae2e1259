"""Chooses what a device is handed, and locks it: queued messages, and dispatches it has not confirmed.

A rule on what may be handed out is a condition of the statements here, or a number of `quotas`, which
`handing_out.may_take` reads too.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import statuses
from ...store.models import Dispatch, Message
from ...store.number_hashes import number_hash
from ...store.queries import Query, written_out
from ..devices import capacity, monthly_recipients, quotas, usage
from ..devices import queue as device_queue
from ..devices.capacity import DEVICE_ID, moments
from ..devices.quotas import Quota

MOST_PER_ANSWER = device_queue.MOST_AT_ONCE


class _Sized(Protocol):
    """A row with what limits count of its message: its segments, its number, and when it was handed out before."""

    @property
    def segments(self) -> int:
        """See `Message`."""

    @property
    def to_number(self) -> str | None:
        """See `Message`."""

    @property
    def last_handed_out_at(self) -> datetime | None:
        """See `Dispatch`."""


S = TypeVar("S", bound=_Sized)


class Unconfirmed(NamedTuple):
    """A dispatch that may be handed out once more, with its message's text."""

    id: str
    segments: int
    to_number: str | None
    content: str | None
    priority: int
    last_handed_out_at: datetime


_UNCONFIRMED = Query(
    Unconfirmed,
    sa.select(
        Dispatch.id,
        Message.segments,
        Message.to_number,
        Message.content,
        Message.priority,
        Dispatch.last_handed_out_at,
    )
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


def choose_queued(
    session: Session, device_id: str, most: int, settings: Settings, now: datetime
) -> list[str]:
    """Lock and return the ids of at most so many queued messages, as many as the device's quota allows."""
    quota = _quota(session, device_id, settings, now)
    places = min(most, quota.places)
    if places <= 0 or not quota.has_room:
        return []
    waiting = device_queue.lock_next(
        session,
        device_id,
        quota.due_queues,
        places,
        now,
        largest=quota.limits.largest_message,
        month=quota.month if quota.takes_known_only else None,
    )
    return [row.id for row in _fitting(session, waiting, quota)]


def choose_unconfirmed(
    session: Session, device_id: str, settings: Settings, now: datetime
) -> list[Unconfirmed]:
    """Lock and return the dispatches the device did not confirm within the lease, as many as its quota allows."""
    unconfirmed = _UNCONFIRMED.all(session, device_id=device_id, **moments(now))
    if not unconfirmed:
        return []
    quota = _quota(session, device_id, settings, now)
    return [] if quota.has_pause else _fitting(session, unconfirmed[: quota.tries], quota)


def _quota(session: Session, device_id: str, settings: Settings, now: datetime) -> Quota:
    """Read what the device may be handed, and have its recipients noted from now on if they are limited."""
    quota = quotas.read(session, device_id, settings, now)
    if quota.recipients_left is not None and quota.counted_month != quota.month:
        monthly_recipients.count_some(session, device_id, now)
        return quotas.read(session, device_id, settings, now)
    if quota.recipients_left is None and quota.counted_month is not None:
        monthly_recipients.end_count(session, device_id)
    return quota


def _fitting(session: Session, waiting: Sequence[S], quota: Quota) -> list[S]:
    """Return the first rows that fit into the quota, in order: a long message is never passed over.

    Those to another recipient than the month's are passed over once there is no room for one.
    """
    if quota.recipients_left is not None:
        hashes = {number_hash(row.to_number or "") for row in waiting}
        quota.known |= usage.known(session, quota.device_id, quota.month, hashes)
    chosen: list[S] = []
    for row in waiting:
        if not quota.has_recipient(row.to_number):
            continue
        if not quota.has_segments(row.segments, row.last_handed_out_at):
            break
        quota.take(row.to_number, row.segments, row.last_handed_out_at)
        chosen.append(row)
    return chosen
