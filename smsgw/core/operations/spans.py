"""Spells spans of time for people."""

from datetime import datetime, timedelta


def text(span: timedelta) -> str:
    """Return the span in the largest unit of which it has at least two, or in seconds."""
    seconds = int(abs(span).total_seconds())
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return "1 second" if seconds == 1 else f"{seconds} seconds"


def since(moment: datetime, now: datetime) -> str:
    """Return the moment and how long ago that is: `2026-11-28 02:14 UTC, 40 minutes ago`."""
    return f"{moment:%Y-%m-%d %H:%M} UTC, {text(now - moment)} ago"


def counted(count: int, noun: str) -> str:
    """Return `1 message` or `2,000 messages`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
