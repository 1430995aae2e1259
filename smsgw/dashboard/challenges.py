"""Keeps the challenges for a browser's passkeys in its signed cookie."""

from datetime import datetime

from flask import request, session

from .. import clock
from ..core.accounts import passkey_challenges
from ..core.accounts.passkey_challenges import Challenge, RelyingParty
from ..errors import Conflict
from ..http.context import services

# Two names in the cookie, because a person may sign in again while adding a passkey.
SIGN_IN = "passkey_sign_in"
ADD = "passkey_add"


def are_offered() -> bool:
    """Return whether passkeys work at the address that the browser used."""
    found = passkey_challenges.relying_party(services().settings)
    return found is not None and found.origin == f"https://{request.host}"


def party() -> RelyingParty:
    """Return the server's name for passkeys; `Conflict` where it has none."""
    found = passkey_challenges.relying_party(services().settings)
    if found is None:
        text = "Passkeys need an https address with a name in SMSGW_PUBLIC_URL."
        raise Conflict(text, code="no_passkeys")
    return found


def begin(purpose: str) -> Challenge:
    """Give the browser a new challenge."""
    made = passkey_challenges.new_challenge(clock.now())
    session[purpose] = [made.text, made.at.isoformat()]
    return made


def take(purpose: str) -> Challenge | None:
    """Return the browser's challenge and remove it."""
    text, at = session.pop(purpose, (None, None))
    return None if text is None else Challenge(text, datetime.fromisoformat(at))
