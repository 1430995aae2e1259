"""Finds CRMs by their API keys."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...store.db import Database
from ...store.models import Crm
from ...store.queries import Query
from ...store.rows import Caller

_IS_ENABLED = sa.and_(Crm.enabled, Crm.removed_at.is_(None))
_CALLER = Query(
    Caller,
    sa.select(
        Crm.id,
        Crm.name,
        Crm.uses_all_devices,
        Crm.strict_numbers,
        Crm.enabled,
        Crm.queue_limit,
        Crm.requests_per_minute,
        Crm.loop_guard,
        Crm.sticky_sender,
    ).where(Crm.key_hash == sa.bindparam("key_hash", type_=sa.String), Crm.removed_at.is_(None)),
)


def find_caller(database: Database, key: str) -> Caller | None:
    """Return the CRM this API key belongs to, disabled ones too."""
    return _CALLER.read(database, key_hash=ids.hash_secret(key))


def key_hashes(session: Session) -> dict[str, str]:
    """Return the hashed keys of all enabled CRMs, by id."""
    return dict(session.execute(sa.select(Crm.id, Crm.key_hash).where(_IS_ENABLED)).all())


def find_enabled(session: Session, crm_id: str, key_hash: str) -> Crm | None:
    """Return the CRM if it is enabled and still has this key."""
    is_it = sa.and_(Crm.id == crm_id, Crm.key_hash == key_hash, _IS_ENABLED)
    return session.scalars(sa.select(Crm).where(is_it)).one_or_none()
