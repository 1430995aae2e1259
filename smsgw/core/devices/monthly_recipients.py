"""Notes the recipients of a device in a calendar month, while their number is limited.

Without a limit nothing is noted. With one, the numbers of the month so far are taken from the dispatches, some hundred
at a time, when the limit is set, by the device's polls and by the worker; those that a retention time has removed by
then are not among them. Until all are counted, the device is handed only messages to numbers that are noted already, so
that it cannot exceed its limit.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.db import Database
from ...store.inserts import InsertNew
from ...store.models import Device, DeviceRecipient, Dispatch, Message
from ...store.number_hashes import NumberHash, number_hash
from ...store.queries import Change, Query
from ...store.tables import plain
from . import limits, usage
from .capacity import DEVICE_ID, moment
from .locking import Locked

_FORGOTTEN_AT_ONCE = 5000
COUNTED_AT_ONCE = 500


class _CountProgress(NamedTuple):
    counted_until: datetime | None


class _MonthlyRecipient(NamedTuple):
    device_id: str
    month: str
    recipient: str


class _HandedOutTo(NamedTuple):
    at: datetime
    recipient: str | None


_NEXT = Query(
    _HandedOutTo,
    sa.select(
        Dispatch.last_handed_out_at.label("at"), NumberHash(Message.to_number).label("recipient")
    )
    .join(Message, Message.id == Dispatch.message_id)
    .where(
        Dispatch.device_id == DEVICE_ID,
        Dispatch.last_handed_out_at >= moment("began_at"),
        Dispatch.last_handed_out_at < moment("ends_at"),
    )
    .order_by(Dispatch.last_handed_out_at)
    .limit(sa.bindparam("most", type_=sa.Integer)),
)
_UNTIL = Query(_CountProgress, sa.select(Device.counted_until).where(Device.id == DEVICE_ID))
_NEW = InsertNew(
    DeviceRecipient,
    _MonthlyRecipient,
    conflict_on=[DeviceRecipient.device_id, DeviceRecipient.month, DeviceRecipient.recipient],
    returning=DeviceRecipient.recipient,
)
_FIRST_UNCOUNTED = (
    sa.select(Device.id)
    .where(
        Device.removed_at.is_(None),
        sa.or_(
            sa.bindparam("is_every_limited", type_=sa.Boolean),
            Device.recipients_per_month.is_not(None),
        ),
        Device.counted_month.is_distinct_from(sa.bindparam("month", type_=sa.String)),
    )
    .limit(1)
)
_UNCOUNTED = Query(str, _FIRST_UNCOUNTED)
_COUNTED = Change(
    sa.update(plain(Device))
    .where(Device.id == DEVICE_ID)
    .values(
        {
            Device.counted_month: sa.bindparam("month", type_=sa.String),
            Device.counted_until: moment("until"),
        }
    )
)
_FORGET = Change(
    sa.delete(plain(DeviceRecipient)).where(
        DeviceRecipient.device_id == DEVICE_ID,
        DeviceRecipient.month == sa.bindparam("month", type_=sa.String),
        DeviceRecipient.recipient == sa.bindparam("recipient", type_=sa.String),
    )
)


def count_some(session: Session, device_id: str, now: datetime) -> None:
    """Note the next some hundred recipients of this month so far; the device must be locked."""
    month = limits.month_of(now)
    began_at, ends_at = limits.bounds_of(month)
    until = _UNTIL.one(session, device_id=device_id).counted_until
    if until is None or not began_at <= until < ends_at:
        until = began_at
    span = {"began_at": until, "ends_at": ends_at}
    found = _NEXT.all(session, device_id=device_id, most=COUNTED_AT_ONCE, **span)
    note(session, device_id, month, {row.recipient for row in found if row.recipient})
    if len(found) < COUNTED_AT_ONCE:
        _COUNTED.run(session, device_id=device_id, month=month, until=None)
    else:
        # Where as many were handed out in one microsecond, the others are left out, or it would never end.
        following = max(found[-1].at, until + timedelta(microseconds=found[-1].at == until))
        _COUNTED.run(session, device_id=device_id, month=None, until=following)


def change_limits(
    session: Session,
    device: Device,
    wanted: Mapping[str, int | None],
    settings: Settings,
    now: datetime,
) -> None:
    """Set the limits that are named, `None` for the setting, and begin to count recipients that are limited now.

    Does the first step of `count_some`; most devices need no other.
    """
    limits.change(device, wanted)
    session.flush()
    limit = limits.of(device, settings).recipients_per_month
    if limit is not None and device.counted_month != limits.month_of(now):
        count_some(session, device.id, now)


def has_uncounted(database: Database, settings: Settings, now: datetime) -> bool:
    """Return whether there is a device for `count_next`."""
    return _UNCOUNTED.read(database, **_uncounted(settings, now)) is not None


def count_next(session: Session, settings: Settings, now: datetime) -> int:
    """Do one step of `count_some` for a device that has a limit; return 0 where there is none to count."""
    locked = _FIRST_UNCOUNTED.with_for_update(skip_locked=True, key_share=True)
    device_id = session.scalars(locked, _uncounted(settings, now)).first()
    if device_id is None:
        return 0
    count_some(session, device_id, now)
    return 1


def is_known(session: Session, device: Device, number: str | None, now: datetime) -> bool:
    """Return whether the number is among the device's recipients of this month."""
    wanted, month = number_hash(number or ""), limits.month_of(now)
    return bool(usage.known(session, device.id, month, {wanted}))


def note(session: Session, device_id: str, month: str, hashes: Iterable[str]) -> None:
    """Note those of these recipients that are not noted yet."""
    _NEW.new(session, [_MonthlyRecipient(device_id, month, one) for one in hashes])


def note_numbers(
    session: Session,
    device: Locked,
    numbers: Iterable[str | None],
    settings: Settings,
    now: datetime,
) -> None:
    """Note the numbers of messages that are handed out, if the device has a limit on recipients."""
    if limits.of(device, settings).recipients_per_month is not None:
        hashes = {number_hash(number or "") for number in numbers}
        note(session, device.id, limits.month_of(now), hashes)


def end_count(session: Session, device_id: str) -> None:
    """Note that recipients are no longer noted."""
    _COUNTED.run(session, device_id=device_id, month=None, until=None)


def forget(session: Session, now: datetime) -> int:
    """Remove the recipients of months that are over, some thousand at a time; return how many it was.

    A month is kept for a day longer: another server's clock may be behind.
    """
    key = (DeviceRecipient.device_id, DeviceRecipient.month, DeviceRecipient.recipient)
    current = limits.month_of(now - timedelta(days=1))
    old = session.execute(
        sa.select(*key)
        # By device, which is how the key begins.
        .where(DeviceRecipient.device_id.in_(sa.select(Device.id)), DeviceRecipient.month < current)
        .limit(_FORGOTTEN_AT_ONCE)
    ).all()
    _FORGET.run_each(session, [row._asdict() for row in old])
    return len(old)


def _uncounted(settings: Settings, now: datetime) -> dict[str, object]:
    is_every_limited = settings.recipients_per_month is not None
    return {"is_every_limited": is_every_limited, "month": limits.month_of(now)}
