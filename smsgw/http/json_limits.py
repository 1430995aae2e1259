"""Limits the nesting and the number of values of JSON before it is parsed."""

import re
from itertools import accumulate

from ..errors import BadRequest

# Somewhat less than Python's own limit, so that parsed JSON can be written again.
MAX_DEPTH = 600
MAX_VALUES = 500_000

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_OPENING, _CLOSING = b"[{", b"]}"
_UNMARKED = bytes(set(range(256)) - set(b"[]{},"))


def check(body: bytes) -> None:
    """Raise `BadRequest` if the JSON is nested too deep or has too many values; takes linear time and little memory."""
    fault = find_excess(body)
    if fault is not None:
        raise BadRequest(f"the body {fault}", code="bad_json")


def find_excess(body: bytes) -> str | None:
    """Return the limit that the text exceeds, in words, or `None`; text that is not JSON may pass."""
    opened = sum(body.count(bytes([mark])) for mark in _OPENING)
    # Most texts have so few of these characters that strings need not be excluded.
    if opened <= MAX_DEPTH and body.count(b",") <= MAX_VALUES:
        return None
    marks = _STRINGS.sub(b"", body).translate(None, _UNMARKED)
    if len(marks) - sum(marks.count(bytes([mark])) for mark in _CLOSING) > MAX_VALUES:
        return f"has more than {MAX_VALUES:,} values"
    if max(accumulate(map(_STEPS.__getitem__, marks)), default=0) > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH} levels"
    return None


_STEPS = [(mark in _OPENING) - (mark in _CLOSING) for mark in range(256)]
