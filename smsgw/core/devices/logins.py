"""Reads which device a request comes from, and whether it may have work, in one query."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from ... import ids
from ...store.db import Database
from ...store.models import Device
from ...store.queries import Query
from . import capacity, routing
from . import queue as device_queue


class Login(NamedTuple):
    """A device's data as a request needs them. `revision` tells later whether another poll was faster.

    `may_have_new`, `has_unconfirmed` and `has_doubts` are asked along with the rest, because most requests are polls
    that find nothing: whether there may be something to hand out for the first time, or once more, and whether a poll
    says something about what was handed out. A device whose CRM is disabled is not `enabled` either; one that
    registered itself is not `approved` at first.
    """

    device_id: str
    secret_hash: str
    enabled: bool
    revision: int
    may_have_new: bool
    has_unconfirmed: bool
    approved: bool
    has_doubts: bool

    @property
    def may_have_work(self) -> bool:
        """Return whether there may be something to hand out."""
        return self.may_have_new or self.has_unconfirmed


_LOGIN = sa.select(
    Device.id.label("device_id"),
    Device.secret_hash,
    routing.is_admitted().label("enabled"),
    Device.revision,
    device_queue.may_have_new().label("may_have_new"),
    capacity.has_unconfirmed(Device.id).label("has_unconfirmed"),
    Device.approved,
    capacity.has_doubts(Device.id).label("has_doubts"),
).where(Device.removed_at.is_(None))
_BY_ID = Query(Login, _LOGIN.where(Device.id == sa.bindparam("device_id", type_=sa.String)))
_BY_SECRET = Query(
    Login, _LOGIN.where(Device.secret_hash == sa.bindparam("secret_hash", type_=sa.String))
)


def find(database: Database, device_id: str, now: datetime) -> Login | None:
    """Return the login of a device by its name."""
    return _BY_ID.read(database, device_id=device_id, **capacity.moments(now))


def find_by_key(database: Database, key: str, now: datetime) -> Login | None:
    """Return the login of the device that owns this key."""
    return _BY_SECRET.read(database, secret_hash=ids.hash_secret(key), **capacity.moments(now))
