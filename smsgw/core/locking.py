"""Locking a device, so that its requests are served one after another."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..store.db import run
from ..store.models import Device
from ..store.tables import plain


@dataclass(frozen=True)
class Locked:
    """A device that is ours until the commit, as it stands now."""

    id: str
    phone: str | None
    protocol: str
    revision: int
    socket_id: str | None
    enabled: bool
    removed_at: datetime | None
    quiet_at: datetime | None

    @property
    def may_take(self) -> bool:
        """Whether it may be handed messages."""
        return self.enabled and self.removed_at is None


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
        _TABLE.c.enabled,
        _TABLE.c.removed_at,
        _TABLE.c.quiet_at,
    )
)


def lock(session: Session, device_id: str, protocol: str | None = None) -> Locked:
    """Takes the device's row until the commit, so that its polls are served one after another, and counts one up.

    Notes the protocol it speaks now, where one is given.
    """
    values = {"device_id": device_id, "spoken": protocol}
    return Locked(*run(session, _LOCK, values)[0])
