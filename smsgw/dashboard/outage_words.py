"""Explains why the database cannot be used, without details, because the reader may not be signed in."""

from .. import clock
from ..core.operations import health
from ..http.context import services

_DOCTOR = "On the server, `smsgw doctor` says more."
_REASONS = {
    "disk": f"The disk of the database is full: free some space. {_DOCTOR} ",
    "database": f"The database does not run, cannot be reached, or accepts no changes. {_DOCTOR} ",
    "migrations": f"The tables are not those of this version. {_DOCTOR} ",
}


def text() -> str:
    """Return the probable cause and what to do."""
    found = health.examine(services().database, clock.now())
    reasons = (_REASONS.get(one.check, "") for one in found if one.state == "wrong")
    return f"{''.join(reasons)}The database is unavailable. Try again in a few seconds; nothing was changed."
