"""Spells spans of time for people."""

from datetime import timedelta


def text(span: timedelta) -> str:
    """Return the span in the largest unit of which it has at least two, or in seconds."""
    seconds = int(abs(span).total_seconds())
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
