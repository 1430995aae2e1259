"""Notes whom a device is handed messages for in a calendar month, while it has a limit on that.

Without a limit nothing is noted. With one, the numbers of the month so far are taken from the dispatches first; those
that a retention time has removed by then are not among them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.inserts import InsertNew
from ...store.models import Device, DeviceRecipient
from ...store.number_hashes import number_hash
from ...store.queries import Change
from ...store.tables import plain
from . import limits, usage
from .capacity import DEVICE_ID
from .locking import Locked

_FORGOTTEN_AT_ONCE = 5000


class _MonthlyRecipient(NamedTuple):
    device_id: str
    month: str
    recipient: str


_NEW = InsertNew(
    DeviceRecipient,
    _MonthlyRecipient,
    conflict_on=[DeviceRecipient.device_id, DeviceRecipient.month, DeviceRecipient.recipient],
    returning=DeviceRecipient.recipient,
)
_COUNTED = Change(
    sa.update(plain(Device))
    .where(Device.id == DEVICE_ID)
    .values({Device.counted_month: sa.bindparam("month", type_=sa.String)})
)
_FORGET = Change(
    sa.delete(plain(DeviceRecipient)).where(
        DeviceRecipient.device_id == DEVICE_ID,
        DeviceRecipient.month == sa.bindparam("month", type_=sa.String),
        DeviceRecipient.recipient == sa.bindparam("recipient", type_=sa.String),
    )
)


def begin_month(session: Session, device_id: str, now: datetime) -> None:
    """Note all recipients of this month so far; the device must be locked."""
    month = limits.month_of(now)
    note(session, device_id, month, _so_far(session, device_id, month))
    _COUNTED.run(session, device_id=device_id, month=month)


def is_known(session: Session, device: Device, number: str | None, now: datetime) -> bool:
    """Return whether the number is among the device's recipients of this month."""
    wanted, month = number_hash(number or ""), limits.month_of(now)
    if device.counted_month == month:
        return bool(usage.known(session, device.id, month, {wanted}))
    return wanted in _so_far(session, device.id, month)


def note(session: Session, device_id: str, month: str, hashes: Iterable[str]) -> None:
    """Note these recipients, those that are noted already once."""
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
    """Note that what is handed out from now on is not noted."""
    _COUNTED.run(session, device_id=device_id, month=None)


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


def _so_far(session: Session, device_id: str, month: str) -> list[str]:
    """Return the month's recipients, as the dispatches name them."""
    began_at, ends_at = limits.bounds_of(month)
    found = usage.recipients_in(sa.literal(device_id))
    return list(session.scalars(found, {"began_at": began_at, "ends_at": ends_at}))
