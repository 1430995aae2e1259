"""Writes single values for people: whole for programs that read columns, short for a terminal."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from .. import clock

_UNITS = (
    ("days", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("min", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
)
_DATES_AFTER = timedelta(days=30)


def whole(value: Any) -> str:
    """Return the value in one line, `-` for none, without the control characters that a terminal would act on."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(whole, value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in str(value))


def short(name: str, value: Any) -> str:
    """Return the value as `whole` does, but a time by how long ago it was."""
    return ago(value) if is_time(name) and value is not None else whole(value)


def title(name: str) -> str:
    """Return the title of a column: `last seen` for `last_seen_at`."""
    for end in ("_at", "_count", "_id"):
        name = name.removesuffix(end)
    return name.replace("_", " ")


def is_time(name: str) -> bool:
    """Return whether values of this name are times in RFC 3339."""
    return name == "at" or name.endswith(("_at", "_until", "_since"))


def ago(text: str) -> str:
    """Return how long ago a time was, such as `2 min ago`, or `in 5 min`; a date where it is more than 30 days."""
    moment = datetime.fromisoformat(text)
    span = clock.now() - moment
    if abs(span) > _DATES_AFTER:
        return f"{moment.astimezone(UTC):%Y-%m-%d}"
    unit, length = next(
        ((unit, length) for unit, length in _UNITS if abs(span) >= 2 * length), _UNITS[-1]
    )
    words = f"{abs(span) // length} {unit}"
    return f"in {words}" if span < timedelta(0) else f"{words} ago"


def time_of_day(text: str) -> str:
    """Return a time in UTC such as `18:17`, with the date where it is not today."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    is_today = moment.date() == clock.now().date()
    return f"{moment:%H:%M}" if is_today else f"{moment:%Y-%m-%d %H:%M}"
