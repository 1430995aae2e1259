"""Checks what people type to sign in: their key, or their name with a password and, if set up, a code.

Only the dashboard imports this.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from ...errors import Invalid, Unauthorized
from ...settings import Settings
from ...store import audit
from ...store.db import Database
from ...store.models import Operator
from . import one_time_codes, operators, passwords
from .operators import Identity

_WRONG = "wrong name, password or code"


def by_key(database: Database, settings: Settings, key: str) -> Identity | None:
    """Return whose key this is."""
    with database.reading() as session:
        return operators.find_by_key(session, settings, key)


def by_password(database: Database, name: str, password: str, code: str, now: datetime) -> Identity:
    """Return who this is. Raises `Unauthorized` without saying what was wrong. Hashes while no transaction is open."""
    with database.reading() as session:
        found = None if "\0" in name else session.get(Operator, name)
    password_hash = None if found is None else found.password_hash
    if not passwords.is_password(password, password_hash) or found is None:
        raise Unauthorized(_WRONG, code="wrong_password")
    with database.transaction() as session:
        operator = session.get(Operator, name, with_for_update=True)
        # A reset may have come between.
        if operator is None or operator.password_hash != password_hash:
            raise Unauthorized(_WRONG, code="wrong_password")
        _use_code(operator, code, now)
        return Identity(operator.name, operator.role, operator.key_hash)


def is_secret_of(
    database: Database, settings: Settings, name: str, typed: str, now: datetime
) -> bool:
    """Return whether somebody who is signed in has typed their key, their password or a code."""
    found = by_key(database, settings, typed)
    if found is not None:
        return found.name == name
    with database.transaction() as session:
        operator = session.get(Operator, name, with_for_update=True)
        if operator is not None and _is_new_code(operator, typed, now):
            return True
    return operator is not None and passwords.is_password(typed, operator.password_hash)


def set_password(session: Session, operator: Operator, password_hash: str | None) -> None:
    """Set the password by its hash, `None` for none; without one there are no codes either."""
    operator.password_hash = password_hash
    if password_hash is None:
        operator.totp_secret = operator.totp_step = None
    audit.note(session, "operator", operator.name, "password", operator.name)


def set_codes(session: Session, operator: Operator, secret: str, code: str, now: datetime) -> None:
    """Ask for codes from now on. `code` is the first one, to show that the app works; `Invalid` where it is wrong."""
    step = one_time_codes.find_step(secret, code, None, now)
    if step is None:
        text = "Wrong code. Are the clocks of the phone and of this server right?"
        raise Invalid.field("code", text)
    operator.totp_secret, operator.totp_step = secret, step
    audit.note(session, "operator", operator.name, "codes", operator.name)


def _use_code(operator: Operator, code: str, now: datetime) -> None:
    if operator.totp_secret is not None and not _is_new_code(operator, code, now):
        raise Unauthorized(_WRONG, code="wrong_code")


def _is_new_code(operator: Operator, code: str, now: datetime) -> bool:
    if operator.totp_secret is None:
        return False
    step = one_time_codes.find_step(operator.totp_secret, code, operator.totp_step, now)
    if step is None:
        return False
    operator.totp_step = step
    return True
