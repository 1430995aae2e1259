"""Hashes and checks passwords with argon2id; each check takes 19 MiB for a moment."""

from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from ...errors import Invalid
from ...lazy_imports import lazy

if TYPE_CHECKING:
    import argon2
else:
    argon2 = lazy("argon2")

FEWEST_CHARACTERS = 12
MOST_CHARACTERS = 200

# One at a time in each process: sixteen threads that check guesses would take 300 MiB.
_ONE_AT_A_TIME = Lock()


def hashed(password: str) -> str:
    """Return the hash of a new password; `Invalid` where it is too short or too long."""
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        text = f"Must have {FEWEST_CHARACTERS} to {MOST_CHARACTERS} characters."
        raise Invalid.field("new_password", text)
    with _ONE_AT_A_TIME:
        return _hasher().hash(password)


def is_password(candidate: str, password_hash: str | None) -> bool:
    """Return whether this is the password; takes equally long if there is none."""
    if len(candidate) > MOST_CHARACTERS:
        return False
    try:
        with _ONE_AT_A_TIME:
            return (
                _hasher().verify(password_hash or _nobodys(), candidate)
                and password_hash is not None
            )
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError, UnicodeEncodeError):
        return False


@cache
def _hasher() -> "argon2.PasswordHasher":
    """Return the first choice of OWASP's Password Storage Cheat Sheet."""
    return argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@cache
def _nobodys() -> str:
    """Return a hash to check in place of a missing one, in equal time."""
    return _hasher().hash("nobody's")
