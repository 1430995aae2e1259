"""Finds the owner of a key of the CRM WebSocket API, which may come in a header, a body or a query."""

from datetime import datetime
from typing import Any

from flask import g, request
from werkzeug.exceptions import TooManyRequests

from ..core.accounts import crms, operators, rate_limits
from ..core.accounts.rate_limits import Limit
from ..core.devices.pairing import CRMS, Registration
from ..errors import Forbidden, Invalid, Unauthorized
from ..http import bodies, key_kinds, rates, refusals
from ..http.context import services
from ..settings import Settings
from ..store.rows import Caller

MAX_BODY_BYTES = 1024 * 1024
REGISTRATIONS = Limit("registration", 10, 60)


def bearer() -> str:
    """Return the key after `Authorization: Bearer`, empty without it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def find_crm(key: str) -> Caller | None:
    """Return the CRM that owns the key, for reading only. Raises `Forbidden` where it is disabled."""
    crm = crms.find_caller(services().database, key) if key.startswith("crm_live_") else None
    if crm is not None:
        if not crm.enabled:
            raise Forbidden("this API key is disabled", code="crm_disabled")
        g.crm = rates.count(crm)
    return crm


def crm_of(key: str) -> Caller:
    """Return the CRM that owns the key. Raises `Unauthorized` where no CRM does."""
    crm = find_crm(key)
    if crm is None:
        refusals.note_key("crm", key)
        raise Unauthorized(key_kinds.refusal("crm", key))
    return crm


def is_operator(key: str) -> bool:
    """Return whether an operator owns the key."""
    if not key:
        return False
    with services().database.reading() as session:
        name = operators.find_by_key(session, services().settings, key)
    g.operator_name = name
    return name is not None


def check_open(wanted: Registration, now: datetime) -> None:
    """Check that registration without a key is open. Raises `Unauthorized`, or 429 for too many a minute."""
    refusals.note_key("device_or_crm", bearer())
    with services().database.reading() as session:
        is_open = wanted.is_open(session, services().settings, now)
    if not is_open:
        refusal = key_kinds.refusal("operator", bearer())
        is_of_no_use = key_kinds.is_other_kind(refusal) and wanted is CRMS
        raise Unauthorized(
            f"{refusal if is_of_no_use else 'no key, or a wrong one'}: registering needs {wanted.keys} key, "
            f"or an operator opens it for a while with the command '{wanted.command}'"
        )
    if bearer():
        raise Unauthorized("invalid key; registration is open and needs no key")
    network = refusals.network_of(request.remote_addr or "")
    with services().database.transaction() as session:
        rate = rate_limits.count(session, REGISTRATIONS, network, now)
    if not rate.is_allowed:
        raise TooManyRequests(
            "too many registrations from this address", retry_after=rate.retry_after_seconds
        )


def json_body() -> dict[str, Any]:
    """Return the body's JSON object, unknown fields included. Raises `BadRequest`."""
    return bodies.parse_object(bodies.read(MAX_BODY_BYTES))


def text(body: dict[str, Any], name: str) -> str:
    """Return a required text. Raises `Invalid` for anything else."""
    found = body.get(name)
    if not isinstance(found, str) or not found.strip():
        raise _invalid(name, f"{name} is required and must be a text")
    return found


def optional_text(body: dict[str, Any], name: str) -> str | None:
    """Return a text that may be missing or null. Raises `Invalid` for anything else."""
    return None if body.get(name) is None else text(body, name)


def web_socket_url(settings: Settings, query: str) -> str:
    """Return the socket's URL for the caller: `wss://host/ws?…`."""
    base = settings.public_url or request.host_url.rstrip("/")
    scheme, _, rest = base.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?{query}"


def _invalid(field: str, message: str) -> Invalid:
    return Invalid(message, details={field: [message]})
