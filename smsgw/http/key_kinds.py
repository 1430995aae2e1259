"""Explains refused keys: recognises a key of another kind by its prefix."""

from flask import request

from .. import ids
from .context import services

_PREFIXES = {
    "crm_live_": "crm",
    "op_live_": "operator",
    "gw_live_": "device",
}
_GIVEN = {
    "crm": "this is a CRM's key",
    "operator": "this is an operator's key",
    "device": "this is a device's login",
}
_NEEDED = {
    "crm": "a CRM's key (crm_live_…)",
    "operator": "an operator's key (op_live_…)",
    "crm or operator": "a CRM's or an operator's key",
    "device or crm": "a device's token or a CRM's key",
    "device": "a device's name and password, or its key (gw_live_…)",
}


def refusal(needed: str, key: str) -> str:
    """Return the error message for an unknown key; `needed` is one of the kinds, or two joined by `or`."""
    given = _kind(key)
    if given is None or given in needed.split(" or "):
        return (
            "wrong device name or password" if needed == "device" else "no API key, or a wrong one"
        )
    return f"{_GIVEN[given]}; this URL needs {_NEEDED[needed]}"


def is_other_kind(message: str) -> bool:
    """Return whether `refusal` made this message for a key of another kind."""
    return message.startswith(tuple(_GIVEN.values()))


def _kind(key: str) -> str | None:
    if not key and request.headers.get("Authorization", "").lower().startswith("basic "):
        return "device"
    fixed = services().settings.operator_key
    if fixed is not None and ids.is_secret(key, ids.hash_secret(fixed)):
        return "operator"
    return next((kind for prefix, kind in _PREFIXES.items() if key.startswith(prefix)), None)
