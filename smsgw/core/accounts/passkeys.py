"""Registers people's passkeys (WebAuthn) and checks what they sign: the device asks for a finger, a face or a PIN."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict, Invalid, NotFound, Unauthorized
from ...lazy_imports import lazy
from ...store import audit
from ...store.db import Database
from ...store.models import Operator, Passkey
from .operators import Identity
from .passkey_challenges import Challenge, RelyingParty

if TYPE_CHECKING:
    import webauthn
    from webauthn.helpers import exceptions
else:
    webauthn = lazy("webauthn")
    exceptions = lazy("webauthn.helpers.exceptions")

MOST_OF_A_PERSON = 10
MOST_NAME_CHARACTERS = 50
_CHALLENGE_ENDS_AFTER = timedelta(minutes=5)
_MOST_ANSWER_CHARACTERS = 16 * 1024


class NewPasskey(NamedTuple):
    """A passkey that a browser has just made; `id` and `public_key` in base64url."""

    id: str
    public_key: str
    sign_count: int


def verify_new(
    party: RelyingParty, answer: str, challenge: Challenge | None, now: datetime
) -> NewPasskey:
    """Return what the browser made; `Invalid` where it was not made for this challenge and this server."""
    try:
        made = webauthn.verify_registration_response(
            credential=_read(answer),
            expected_challenge=webauthn.base64url_to_bytes(_valid(challenge, now).text),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except _faults() as error:
        text = "That passkey was not made for this page, or too long ago. Try again."
        raise Invalid(text) from error
    public_key = _base64url(made.credential_public_key)
    return NewPasskey(_base64url(made.credential_id), public_key, made.sign_count)


def add(session: Session, operator: Operator, name: str, made: NewPasskey, now: datetime) -> None:
    """Add the passkey under a name that tells it from the person's others."""
    if not 1 <= len(name) <= MOST_NAME_CHARACTERS or not name.isprintable():
        text = f"Must have 1 to {MOST_NAME_CHARACTERS} printable characters."
        raise Invalid.field("passkey_name", text)
    if len(of(session, operator.name)) >= MOST_OF_A_PERSON:
        text = f"You have {MOST_OF_A_PERSON} passkeys; remove one first."
        raise Conflict(text, code="too_many_passkeys")
    if session.get(Passkey, made.id) is not None:
        raise Conflict("This passkey is there already.", code="passkey_exists")
    session.add(Passkey(**made._asdict(), operator_name=operator.name, name=name, created_at=now))
    _note(session, operator, [None, name])


def identify(
    database: Database,
    party: RelyingParty,
    answer: str,
    challenge: Challenge | None,
    now: datetime,
) -> Identity:
    """Return whose passkey signed the challenge. Raises `Unauthorized`; accepts each challenge once."""
    try:
        begun, credential = _valid(challenge, now), _read(answer)
        passkey = _find(database, credential.get("id"))
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=webauthn.base64url_to_bytes(begun.text),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=webauthn.base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except _faults() as error:
        raise _refusal() from error
    with database.transaction() as session:
        return _use(session, passkey, verified.new_sign_count, begun, now)


def of(session: Session, name: str) -> Sequence[Passkey]:
    """Return the passkeys of this person, the oldest first."""
    return session.scalars(
        sa.select(Passkey).where(Passkey.operator_name == name).order_by(Passkey.created_at)
    ).all()


def remove(session: Session, operator: Operator, passkey_id: str) -> None:
    """Remove this passkey of the person; `NotFound` where there is none."""
    passkey = session.get(Passkey, passkey_id)
    if passkey is None or passkey.operator_name != operator.name:
        raise NotFound("This passkey is removed already.")
    session.delete(passkey)
    _note(session, operator, [passkey.name, None])


def _note(session: Session, operator: Operator, change: list[str | None]) -> None:
    audit.note(session, "operator", operator.name, "passkey", operator.name, {"passkey": change})


def _find(database: Database, passkey_id: Any) -> Passkey:
    if isinstance(passkey_id, str) and "\0" not in passkey_id:
        with database.reading() as session:
            found = session.get(Passkey, passkey_id)
        if found is not None:
            return found
    raise _refusal()


def _use(
    session: Session, passkey: Passkey, sign_count: int, challenge: Challenge, now: datetime
) -> Identity:
    """Note the use of the passkey; refuse where the same challenge, or a later one, was used meanwhile."""
    used = session.execute(
        sa.update(Passkey)
        .where(Passkey.id == passkey.id, Passkey.sign_count == passkey.sign_count)
        .where(sa.or_(Passkey.challenged_at.is_(None), Passkey.challenged_at < challenge.at))
        .values(sign_count=sign_count, challenged_at=challenge.at, last_used_at=now)
        .returning(Passkey.operator_name)
    ).first()
    operator = None if used is None else session.get(Operator, used.operator_name)
    if operator is None:
        raise _refusal()
    return Identity(operator.name, operator.role, operator.key_hash)


def _valid(challenge: Challenge | None, now: datetime) -> Challenge:
    if challenge is None or challenge.at <= now - _CHALLENGE_ENDS_AFTER:
        raise ValueError("no challenge, or one of too long ago")
    return challenge


def _read(answer: str) -> dict[str, Any]:
    if len(answer) > _MOST_ANSWER_CHARACTERS:
        raise ValueError("longer than any passkey's")
    found = json.loads(answer)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _faults() -> tuple[type[Exception], ...]:
    """Return what reading and checking an answer raises; the library does not wrap all of it."""
    plain = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
    return (exceptions.WebAuthnException, *plain)


def _refusal() -> Unauthorized:
    return Unauthorized(
        "This passkey is not known here, or it took too long. Try again, or use your key.",
        code="wrong_passkey",
    )
