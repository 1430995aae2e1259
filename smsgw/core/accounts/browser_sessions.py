"""Keeps the sessions of browsers. The browser has a random id of 256 bits, the database its hash."""

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import NotFound
from ...settings import Settings
from ...store.models import BrowserSession, Operator
from . import operators
from .operators import FIXED, Identity
from .roles import OPERATOR

ENDS_AFTER_IDLE = timedelta(hours=12)
# For so long after typing a secret, a person may do what cannot be undone.
CONFIRMED_FOR = timedelta(minutes=15)
_TOUCH_EACH = timedelta(minutes=1)

_FOUND = (
    sa.select(
        BrowserSession.id_hash,
        BrowserSession.operator_name,
        BrowserSession.key_hash,
        BrowserSession.last_seen_at,
        BrowserSession.confirmed_at,
        Operator.role,
        Operator.uses_all_crms,
    )
    # A new key ends the sessions that began with the old one.
    .outerjoin(
        Operator,
        sa.and_(
            Operator.name == BrowserSession.operator_name,
            Operator.key_hash == BrowserSession.key_hash,
        ),
    )
    .where(BrowserSession.id_hash == sa.bindparam("id_hash"))
)


class SignedIn(NamedTuple):
    """The person of a session; only a clerk may have some of the CRMs instead of all."""

    id_hash: str
    name: str
    role: str
    uses_all_crms: bool
    last_seen_at: datetime
    confirmed_at: datetime


def begin(session: Session, identity: Identity, address: str | None, now: datetime) -> str:
    """Begin a session and return the id for the browser; remove sessions that have ended."""
    session.execute(
        sa.delete(BrowserSession).where(BrowserSession.last_seen_at <= now - ENDS_AFTER_IDLE)
    )
    token = secrets.token_urlsafe(32)
    session.add(
        BrowserSession(
            id_hash=ids.hash_secret(token),
            operator_name=identity.name,
            key_hash=identity.key_hash,
            address=address,
            created_at=now,
            last_seen_at=now,
            confirmed_at=now,
        )
    )
    session.flush()
    return token


def find(session: Session, settings: Settings, token: str, now: datetime) -> SignedIn | None:
    """Return who is signed in with this id, `None` once the session has ended."""
    row = session.execute(_FOUND, {"id_hash": ids.hash_secret(token)}).first()
    if row is None or row.last_seen_at <= now - ENDS_AFTER_IDLE:
        return None
    is_fixed = row.operator_name == FIXED and operators.is_fixed(settings, row.key_hash)
    role = OPERATOR if is_fixed else row.role
    if role is None:
        return None
    return SignedIn(
        id_hash=row.id_hash,
        name=row.operator_name,
        role=role,
        uses_all_crms=is_fixed or row.uses_all_crms,
        last_seen_at=row.last_seen_at,
        confirmed_at=row.confirmed_at,
    )


def is_to_be_touched(found: SignedIn, now: datetime) -> bool:
    """Return whether the session was noted as used more than a minute ago."""
    return found.last_seen_at <= now - _TOUCH_EACH


def touch(session: Session, found: SignedIn, address: str | None, now: datetime) -> None:
    """Note that the person has just used this session."""
    session.execute(
        sa.update(BrowserSession)
        .where(BrowserSession.id_hash == found.id_hash)
        .values(last_seen_at=now, address=address)
    )


def is_confirmed(found: SignedIn, now: datetime) -> bool:
    """Return whether the person has typed a secret in the last 15 minutes."""
    return found.confirmed_at > now - CONFIRMED_FOR


def confirm(session: Session, found: SignedIn, now: datetime) -> SignedIn:
    """Note that the person has just typed a secret."""
    session.execute(
        sa.update(BrowserSession)
        .where(BrowserSession.id_hash == found.id_hash)
        .values(confirmed_at=now, last_seen_at=now)
    )
    return found._replace(confirmed_at=now)


def of_everyone(session: Session, now: datetime) -> list[BrowserSession]:
    """Return the sessions that have not ended, those used last first."""
    return list(
        session.scalars(
            sa.select(BrowserSession)
            .where(BrowserSession.last_seen_at > now - ENDS_AFTER_IDLE)
            .order_by(BrowserSession.last_seen_at.desc())
        )
    )


def end(session: Session, id_hash: str) -> None:
    """End this session; `NotFound` where there is none."""
    ended = session.execute(
        sa.delete(BrowserSession)
        .where(BrowserSession.id_hash == id_hash)
        .returning(BrowserSession.id_hash)
    ).all()
    if not ended:
        raise NotFound("this session has ended already")


def end_others(session: Session, name: str, id_hash: str) -> None:
    """End the other sessions of this person."""
    session.execute(
        sa.delete(BrowserSession).where(
            BrowserSession.operator_name == name, BrowserSession.id_hash != id_hash
        )
    )
