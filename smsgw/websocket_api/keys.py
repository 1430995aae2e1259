"""Finds the owner of a key of the CRM WebSocket API, which may come in a header, a body or a query."""

from datetime import datetime
from typing import Any

from flask import g, request
from werkzeug.exceptions import TooManyRequests

from ..core.accounts import rate_limits
from ..core.accounts.rate_limits import Limit
from ..core.devices.pairing import CRMS, Registration
from ..errors import Unauthorized
from ..http import bodies, credentials, guards, key_kinds, refusals
from ..http.context import services
from ..settings import Settings
from ..store.rows import Caller

MAX_BODY_BYTES = 1024 * 1024
REGISTRATIONS = Limit("registration", 10, 60)


def find_crm(key: str) -> Caller | None:
    """Return the CRM that owns the key, for reading only. Raises `Forbidden` where it is disabled."""
    crm = credentials.find_crm(key)
    if crm is not None:
        guards.admit_crm(crm)
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
    g.operator_name = name = credentials.find_operator(key)
    return name is not None


def check_open(wanted: Registration, now: datetime) -> None:
    """Check that registration without a key is open. Raises `Unauthorized`, or 429 for too many a minute."""
    refusals.note_key("device_or_crm", credentials.bearer())
    with services().database.reading() as session:
        is_open = wanted.is_open(session, services().settings, now)
    if not is_open:
        refusal = key_kinds.refusal("operator", credentials.bearer())
        is_of_no_use = key_kinds.is_other_kind(refusal) and wanted is CRMS
        raise Unauthorized(
            f"{refusal if is_of_no_use else 'no key, or a wrong one'}: registering needs {wanted.keys} key, "
            f"or an operator opens it for a while with the command '{wanted.command}'"
        )
    if credentials.bearer():
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


def web_socket_url(settings: Settings, query: str) -> str:
    """Return the socket's URL for the caller: `wss://host/ws?…`."""
    base = settings.public_url or request.host_url.rstrip("/")
    scheme, _, rest = base.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?{query}"
