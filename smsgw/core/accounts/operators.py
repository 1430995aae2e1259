"""Manages operators, the people who run the server, and their keys."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import Conflict, Invalid, NotFound
from ...settings import Settings
from ...store.models import Operator

FIXED = "SMSGW_OPERATOR_KEY"


def add(session: Session, name: str, now: datetime) -> str:
    """Make an operator and return the key, which is not kept."""
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid("an operator's name has 1 to 100 printable characters")
    if session.get(Operator, name) is not None:
        raise Conflict(f"there is an operator {name!r} already", code="name_taken")
    key = ids.new_operator_key()
    session.add(Operator(name=name, key_hash=ids.hash_secret(key), created_at=now))
    session.flush()
    return key


def everyone(session: Session) -> list[Operator]:
    """Return all operators, by name."""
    return list(session.scalars(sa.select(Operator).order_by(Operator.name)))


def remove(session: Session, name: str) -> None:
    """Take the operator away; the key is void at once."""
    operator = session.get(Operator, name)
    if operator is None:
        raise NotFound(f"no operator {name[:80]!r}")
    session.delete(operator)


def find_by_key(session: Session, settings: Settings, key: str) -> str | None:
    """Return the name of the operator this key belongs to; the fixed key of the settings has the setting's name."""
    if settings.operator_key is not None and ids.is_secret(
        key, ids.hash_secret(settings.operator_key)
    ):
        return FIXED
    return session.scalar(sa.select(Operator.name).where(Operator.key_hash == ids.hash_secret(key)))
