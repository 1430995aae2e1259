"""Hashes and checks the passwords of people with argon2id.

Only the dashboard imports this: the library takes time to load, and each check 19 MiB.
"""

from threading import Lock

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from ...errors import Invalid

FEWEST_CHARACTERS = 12
MOST_CHARACTERS = 200

# The first choice of OWASP's Password Storage Cheat Sheet.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# One at a time in each process: sixteen threads that check guesses would take 300 MiB.
_ONE_AT_A_TIME = Lock()
# Takes as long for a name that nobody has.
_NOBODYS = _HASHER.hash("nobody's")


def hashed(password: str) -> str:
    """Return the hash of a new password; `Invalid` where it is too short or too long."""
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        text = f"Must have {FEWEST_CHARACTERS} to {MOST_CHARACTERS} characters."
        raise Invalid(f"new_password: {text}", details={"new_password": [text]})
    with _ONE_AT_A_TIME:
        return _HASHER.hash(password)


def is_password(candidate: str, password_hash: str | None) -> bool:
    """Return whether this is the password; takes as long where there is none."""
    if len(candidate) > MOST_CHARACTERS:
        return False
    try:
        with _ONE_AT_A_TIME:
            return (
                _HASHER.verify(password_hash or _NOBODYS, candidate) and password_hash is not None
            )
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False
