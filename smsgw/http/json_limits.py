"""Bounds how deep a JSON text is nested and how many values it has, before it is parsed."""

import re
from itertools import accumulate

from ..errors import BadRequest

# Python's reader goes somewhat deeper before it gives up; what was read can be written again.
MAX_DEPTH = 600
MAX_VALUES = 500_000

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_OPENING, _CLOSING = b"[{", b"]}"
_UNMARKED = bytes(set(range(256)) - set(b"[]{},"))


def check(body: bytes) -> None:
    """Raise `BadRequest` for what is nested too deep or has too many values; takes linear time and little memory."""
    fault = find_excess(body)
    if fault is not None:
        raise BadRequest(f"the body {fault}", code="bad_json")


def find_excess(body: bytes) -> str | None:
    """Return what is too much in the text, `None` where nothing is; a text that is no JSON may pass."""
    opened = sum(body.count(bytes([mark])) for mark in _OPENING)
    # Most texts have so few of these that their strings need not be told from the rest.
    if opened <= MAX_DEPTH and body.count(b",") <= MAX_VALUES:
        return None
    marks = _STRINGS.sub(b"", body).translate(None, _UNMARKED)
    if len(marks) - sum(marks.count(bytes([mark])) for mark in _CLOSING) > MAX_VALUES:
        return f"has more than {MAX_VALUES:,} values"
    if max(accumulate(map(_STEPS.__getitem__, marks)), default=0) > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH} levels"
    return None


_STEPS = [(mark in _OPENING) - (mark in _CLOSING) for mark in range(256)]
