"""Locking a device, so that its requests are served one after another."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..errors import DeviceDisabled, DeviceWaiting, Unauthorized
from ..store.db import run
from ..store.models import Crm, Device
from ..store.tables import plain
from .logins import Login

# What `admit` raises.
NOT_ADMITTED = (Unauthorized, DeviceDisabled)


@dataclass(frozen=True)
class Locked:
    """A device that is ours until the commit, as it stands now."""

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
    has_enabled_owner: bool


_TABLE = plain(Device)
_LOCK = (
    sa.update(_TABLE)
    .where(_TABLE.c.id == sa.bindparam("device_id"))
    .values(
        revision=_TABLE.c.revision + 1,
        protocol=sa.func.coalesce(sa.bindparam("spoken"), _TABLE.c.protocol),
    )
    .returning(
        # Columns alone: `removed_at IS NULL` is false here on SQLite 3.40, whatever stands there.
        _TABLE.c.id,
        _TABLE.c.phone,
        _TABLE.c.protocol,
        _TABLE.c.revision,
        _TABLE.c.socket_id,
        _TABLE.c.secret_hash,
        _TABLE.c.enabled,
        _TABLE.c.removed_at,
        _TABLE.c.quiet_revision,
        _TABLE.c.setup_revision,
        _TABLE.c.approved,
        _TABLE.c.owner_crm_id,
    )
)
_IS_OWNER_ENABLED = sa.select(
    sa.and_(Crm.enabled, Crm.removed_at.is_(None)).label("enabled")
).where(Crm.id == sa.bindparam("crm_id", type_=sa.String))


def lock(session: Session, device_id: str, protocol: str | None = None) -> Locked:
    """Takes the device's row until the commit, so that its polls are served one after another, and counts one up.

    Notes the protocol it speaks now, where one is given.
    """
    values = {"device_id": device_id, "spoken": protocol}
    *columns, owner_id = run(session, _LOCK, values)[0]
    columns.append(_is_enabled(session, owner_id))
    return Locked(*columns)


def admit(session: Session, login: Login, protocol: str | None = None) -> Locked:
    """The same for a request that came in with this login, which may have been refused since.

    Raises `Unauthorized` where the device was removed or has another secret by now, and what `check_admitted` raises.
    """
    device = lock(session, login.device_id, protocol)
    if device.removed_at is not None or device.secret_hash != login.secret_hash:
        raise Unauthorized("wrong device name or password")
    check_admitted(device.approved, device.enabled and device.has_enabled_owner)
    return device


def check_admitted(approved: bool, enabled: bool) -> None:
    """Raises `DeviceWaiting` or `DeviceDisabled` for a device that may not come in."""
    if not approved:
        raise DeviceWaiting("this device waits for an operator's approval")
    if not enabled:
        raise DeviceDisabled("this device is disabled on the server")


def _is_enabled(session: Session, owner_id: str | None) -> bool:
    if owner_id is None:
        return True
    return bool(run(session, _IS_OWNER_ENABLED, {"crm_id": owner_id})[0].enabled)
