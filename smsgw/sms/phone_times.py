"""Reads times as phones send them, in any spelling."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds up to the year 5138; what is larger counts milliseconds, and beyond that microseconds.
_SECONDS_BELOW = 10**11


def read(value: Any) -> datetime | None:
    """Return the time of an ISO 8601 text (UTC where no zone is given) or of a number since 1970; `None` for all else.

    An SMS matters more than its time.
    """
    try:
        if isinstance(value, str):
            text = value.strip()
            return _of_text(text) if not text.isdigit() else _of_number(int(text[:20]))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _of_number(value)
    except (ValueError, OverflowError):
        pass
    return None


def is_date(text: str) -> bool:
    """Return whether the text is a date without a time."""
    try:
        date.fromisoformat(text.strip().upper())
    except ValueError:
        return False
    return True


def _of_text(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _of_number(number: float) -> datetime | None:
    if number <= 0:
        return None
    if number < _SECONDS_BELOW:
        return _EPOCH + timedelta(seconds=number)
    if number < 1000 * _SECONDS_BELOW:
        return _EPOCH + timedelta(milliseconds=number)
    return _EPOCH + timedelta(microseconds=number)
