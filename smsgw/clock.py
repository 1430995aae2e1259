"""Reads the wall clock, and formats times."""

from datetime import UTC, datetime
from functools import lru_cache


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


@lru_cache(maxsize=256)  # the events of a poll share a few moments
def rfc3339(moment: datetime) -> str:
    """Write a moment by RFC 3339, in UTC, with milliseconds: `2026-01-31T12:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def rfc3339_or_none(moment: datetime | None) -> str | None:
    """Write a moment that may not have come yet by RFC 3339; `None` stays `None`."""
    return None if moment is None else rfc3339(moment)


def from_epoch_ms(value: object) -> datetime | None:
    """Return a phone's milliseconds since 1970 as a moment; `None` for 0, nonsense and what no clock can show."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value < 253402300800000
    ):
        return None
    return datetime.fromtimestamp(value / 1000, UTC)
