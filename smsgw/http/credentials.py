"""Reads the key of a request, and finds the owners of keys."""

from .. import clock
from ..core.accounts import crm_keys, operators
from ..core.accounts.operators import Identity
from ..core.accounts.roles import OPERATOR
from ..core.devices import logins
from ..core.devices.logins import Login
from ..store.rows import Caller
from .context import current_request, services


def bearer() -> str:
    """Return the key after `Authorization: Bearer`, empty without it."""
    scheme, _, token = current_request().environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(token).strip() if scheme.lower() == "bearer" else ""


def find_device(key: str) -> Login | None:
    """Return the login of the device that owns the key, disabled and unapproved ones too."""
    if not key.startswith("gw_live_"):
        return None
    return logins.find_by_key(services().database, key, clock.now())


def find_crm(key: str) -> Caller | None:
    """Return the CRM that owns the key, disabled ones too."""
    return crm_keys.find_caller(services().database, key) if key.startswith("crm_live_") else None


def find_person(key: str) -> Identity | None:
    """Return who owns the key, with any role."""
    if not key:
        return None
    with services().database.reading() as session:
        return operators.find_by_key(session, services().settings, key)


def find_operator(key: str) -> str | None:
    """Return the name of the operator who owns the key; `None` for a clerk's or a viewer's."""
    found = find_person(key)
    return None if found is None or found.role != OPERATOR else found.name
