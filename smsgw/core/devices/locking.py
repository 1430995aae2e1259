"""Locks a device, so that its requests run one after another."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import DeviceDisabled, DeviceWaiting, Unauthorized
from ...store.db import is_postgresql
from ...store.models import Crm, Device
from ...store.queries import Query
from ...store.tables import plain
from ..events import recording
from .logins import Login

# What `admit` raises.
NOT_ADMITTED = (Unauthorized, DeviceDisabled)


class Locked(NamedTuple):
    """The row of a device that is locked until the commit."""

    id: str
    phone: str | None
    protocol: str
    revision: int
    socket_id: str | None
    secret_hash: str
    enabled: bool
    removed_at: datetime | None
    quiet_revision: int | None
    setup_revision: int
    approved: bool
    owner_crm_id: str | None
    paused_until: datetime | None
    pause_count: int
    pause_reason: str | None
    failed_in_a_row: int
    segments_per_minute: int | None
    segments_per_hour: int | None
    segments_per_day: int | None
    recipients_per_month: int | None
    feed_position: int


_COLUMNS = (
    # Columns alone: `removed_at IS NULL` is false here on SQLite 3.40, whatever stands there.
    Device.id,
    Device.phone,
    Device.protocol,
    Device.revision,
    Device.socket_id,
    Device.secret_hash,
    Device.enabled,
    Device.removed_at,
    Device.quiet_revision,
    Device.setup_revision,
    Device.approved,
    Device.owner_crm_id,
    Device.paused_until,
    Device.pause_count,
    Device.pause_reason,
    Device.failed_in_a_row,
    Device.segments_per_minute,
    Device.segments_per_hour,
    Device.segments_per_day,
    Device.recipients_per_month,
)


def _locking(position: sa.ColumnElement[int]) -> sa.UpdateBase:
    """Take the device's row, and read the transaction's position in the feed of events along with it."""
    spoken = sa.func.coalesce(sa.bindparam("spoken", type_=sa.String), Device.protocol)
    return (
        sa.update(plain(Device))
        .where(Device.id == sa.bindparam("device_id"))
        .values({Device.revision: Device.revision + 1, Device.protocol: spoken})
        .returning(
            *_COLUMNS,
            position.label("feed_position"),
        )
    )


_LOCK_ON_SQLITE = Query(Locked, _locking(sa.literal_column("0", sa.BigInteger)))
_LOCK_ON_POSTGRESQL = Query(Locked, _locking(recording.OWN_POSITION))
_IS_OWNER_ENABLED = Query(
    bool,
    sa.select(sa.and_(Crm.enabled, Crm.removed_at.is_(None)).label("enabled")).where(
        Crm.id == sa.bindparam("crm_id", type_=sa.String)
    ),
)


def lock(session: Session, device_id: str, protocol: str | None = None) -> Locked:
    """Lock the device's row until the commit, so that its polls run one after another, and raise its revision.

    Stores the protocol, if one is given.
    """
    query = _LOCK_ON_POSTGRESQL if is_postgresql(session) else _LOCK_ON_SQLITE
    device = query.one(session, device_id=device_id, spoken=protocol)
    recording.note_position(session, device.feed_position)
    return device


def admit(session: Session, login: Login, protocol: str | None = None) -> Locked:
    """Lock the device for a request that came in with this login, which may have been refused since.

    Raises `Unauthorized` where the device was removed or has another secret by now, and what `check_admitted` raises.
    """
    device = lock(session, login.device_id, protocol)
    if device.removed_at is not None or device.secret_hash != login.secret_hash:
        raise Unauthorized("wrong device name or password")
    has_enabled_owner = _is_enabled(session, device.owner_crm_id)
    check_admitted(device.approved, device.enabled and has_enabled_owner)
    return device


def check_admitted(approved: bool, enabled: bool) -> None:
    """Raise `DeviceWaiting` or `DeviceDisabled` for a device that may not log in."""
    if not approved:
        raise DeviceWaiting("this device waits for an operator's approval")
    if not enabled:
        raise DeviceDisabled("this device is disabled on the server")


def _is_enabled(session: Session, owner_id: str | None) -> bool:
    if owner_id is None:
        return True
    return _IS_OWNER_ENABLED.one(session, crm_id=owner_id)
