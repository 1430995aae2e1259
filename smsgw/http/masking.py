"""Hides whole numbers of phones from viewers."""

import json
from typing import Any

from flask import Response

from .. import logs

# Their values are numbers of phones, however they are written.
_NUMBERS = {"from", "to", "number", "phone", "object_name"}
# Their values look like numbers sometimes, and are none.
_OTHERS = {"id", "cursor", "next_cursor", "code"}


def number(value: str) -> str:
    """Return the ends of a number; short ones and names of senders as they are."""
    return f"{value[:3]}…{value[-2:]}" if len(value) > 5 and any(map(str.isdigit, value)) else value


def masked(answer: Response) -> Response:
    """Return the JSON answer with only the ends of the numbers that are in it."""
    if answer.mimetype == "application/json" and answer.status_code < 300:
        answer.set_data(masked_json(answer.get_data()))
    return answer


def masked_json(text: str | bytes) -> str:
    """Return the JSON text with only the ends of the numbers that are in it."""
    return json.dumps(_shown("", json.loads(text)), ensure_ascii=False, separators=(",", ":"))


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(name, item) for item in value]
    if not isinstance(value, str) or name in _OTHERS or name.endswith(("_id", "_at")):
        return value
    return number(value) if name in _NUMBERS else logs.redact(value)
