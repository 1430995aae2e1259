"""Counts how much of its limits a device has used: segments in a window, recipients in a calendar month.

Each message that was handed out counts once, at its last hand-out, whatever its outcome: only the phone knows what it
has sent. The recipients of a month are those that `monthly_recipients` has noted by now.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import NotFound
from ...store.db import Database
from ...store.models import DeviceRecipient, Dispatch, Message
from ...store.number_hashes import NumberHash
from ...store.queries import Query
from . import limits
from .capacity import DEVICE_ID, moment

R = TypeVar("R")
# A transaction, or the database if there is none.
Source = Session | Database

_MONTH: sa.BindParameter[str] = sa.bindparam("month", type_=sa.String)
_OF_MONTH = (DeviceRecipient.device_id == DEVICE_ID, DeviceRecipient.month == _MONTH)
_NOTED = Query(int, sa.select(sa.func.count()).select_from(DeviceRecipient).where(*_OF_MONTH))
_KNOWN = Query(
    str,
    sa.select(DeviceRecipient.recipient).where(
        *_OF_MONTH, DeviceRecipient.recipient.in_(sa.bindparam("hashes", expanding=True))
    ),
)


class _HandedOut(NamedTuple):
    at: datetime
    segments: int


def _is_in(began_at: str, ends_at: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        Dispatch.device_id == DEVICE_ID,
        Dispatch.last_handed_out_at > moment(began_at),
        # What lies in the future was written before the clock was set back, or by a server whose clock is ahead.
        Dispatch.last_handed_out_at <= moment(ends_at),
    )


def segments_in(began_at: str, ends_at: str) -> sa.Select[int]:
    """Select how many segments the device was handed between two moments, which are parameters of the statement."""
    total = sa.func.coalesce(sa.func.sum(Dispatch.segments), 0).label("segments")
    return sa.select(total).where(_is_in(began_at, ends_at))


_SEGMENTS = Query(int, segments_in("began_at", "ends_at"))
_OLDEST = Query(
    _HandedOut,
    sa.select(Dispatch.last_handed_out_at.label("at"), Dispatch.segments)
    .where(_is_in("began_at", "ends_at"))
    .order_by(Dispatch.last_handed_out_at)
    .limit(sa.bindparam("most", type_=sa.Integer)),
)


def is_known_recipient() -> sa.ColumnElement[bool]:
    """Return a condition on `Message`: its number is noted for the device and the `month`."""
    return sa.exists().where(*_OF_MONTH, DeviceRecipient.recipient == NumberHash(Message.to_number))


def segments(source: Source, device_id: str, window: timedelta, now: datetime) -> int:
    """Return how many segments the device was handed in the window that ends now."""
    return ask(source, _SEGMENTS, **_bounds(device_id, window, now))


def of_devices(
    session: Session, limited: Mapping[str, Collection[str]], now: datetime
) -> Counter[tuple[str, str]]:
    """Return what devices have used, by limit and device. `limited` has the devices for each limit."""
    wanted = [_used(name, device_ids, now) for name, device_ids in limited.items() if device_ids]
    if not wanted:
        return Counter()
    rows = session.execute(sa.union_all(*wanted))
    return Counter({(name, device_id): int(count) for name, device_id, count in rows})


def recipients(source: Source, device_id: str, now: datetime) -> int:
    """Count the numbers of this month that are noted for the device."""
    return ask(source, _NOTED, device_id=device_id, month=limits.month_of(now))


def known(session: Session, device_id: str, month: str, hashes: set[str]) -> set[str]:
    """Return those of the hashes that are noted for the device and the month."""
    if not hashes:
        return set()
    return set(_KNOWN.all(session, device_id=device_id, month=month, hashes=sorted(hashes)))


def free_at(
    session: Session, device_id: str, window: timedelta, wanted: int, now: datetime
) -> datetime:
    """Return when so many segments of those that are in the window now will have left it."""
    rows = _OLDEST.all(session, most=wanted, **_bounds(device_id, window, now))
    for row in rows:
        wanted -= row.segments
        if wanted <= 0:
            return row.at + window
    return rows[-1].at + window if rows else now


def ask(source: Source, query: Query[R], **values: object) -> R:
    """Return the only row of the query, as a transaction sees it, or as it is committed at this moment."""
    if not isinstance(source, Database):
        return query.one(source, **values)
    row = query.read(source, **values)
    if row is None:
        raise NotFound("no such device")
    return row


def _used(name: str, device_ids: Collection[str], now: datetime) -> sa.Select[str, str, int]:
    """Select what was used of one limit: its name, the device and the number, for devices that have used any."""
    label = sa.literal(name).label("name")
    window = limits.WINDOWS.get(name)
    if window is None:
        return (
            sa.select(label, DeviceRecipient.device_id, sa.func.count())
            .where(
                DeviceRecipient.device_id.in_(device_ids),
                DeviceRecipient.month == limits.month_of(now),
            )
            .group_by(DeviceRecipient.device_id)
        )
    return (
        sa.select(label, Dispatch.device_id, sa.func.sum(Dispatch.segments))
        .where(
            Dispatch.device_id.in_(device_ids),
            Dispatch.last_handed_out_at > now - window,
            Dispatch.last_handed_out_at <= now + window,
        )
        .group_by(Dispatch.device_id)
    )


def _bounds(device_id: str, window: timedelta, now: datetime) -> dict[str, object]:
    return {"device_id": device_id, "began_at": now - window, "ends_at": now + window}
