"""Reads moments as people write them: by RFC 3339, or as local time in a known zone."""

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

_EXAMPLE, _LOCAL_EXAMPLE = "2026-01-31T12:00:00Z", "2026-01-31 12:00"
# As spreadsheets write it where days are written with dots, and nowhere with the month first.
_DOTTED = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4}),? +([0-9]{1,2})(:[0-9:]+)")
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


class NoZone(ValueError):
    """A time without a zone, where no zone is known."""


def parse(text: str, zone: ZoneInfo | None = None) -> datetime:
    """Return the moment in UTC; a text without a zone, such as `31.01.2026 12:00`, is local time in `zone`.

    Raises `ValueError` for a text that is not RFC 3339 or does not mean exactly one moment; the message is worded to
    follow the text itself.
    """
    example = _EXAMPLE if zone is None else _LOCAL_EXAMPLE
    try:
        moment = datetime.fromisoformat(_with_dashes(text).upper())
    except ValueError:
        raise ValueError(f"is not like {example}") from None
    if is_date(text):
        raise ValueError(f"has no time: it is not like {example}")
    if moment.tzinfo is None:
        moment = _local(moment, zone)
    try:
        found = moment.astimezone(UTC)
    except OverflowError:
        found = _LATEST
    if not _EARLIEST <= found < _LATEST:
        raise ValueError("must be between 1970 and 2999")
    return found


def is_date(text: str) -> bool:
    """Return whether the text is a day without a time, such as `2026-01-31`."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _with_dashes(text: str) -> str:
    found = _DOTTED.fullmatch(text)
    if found is None:
        return text
    day, month, year, hour, rest = found.groups()
    return f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}{rest}"


def _local(moment: datetime, zone: ZoneInfo | None) -> datetime:
    if zone is None:
        raise NoZone(f"has no time zone: it is not like {_EXAMPLE}")
    early, late = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return early
    back = early.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    fault = "occurs twice" if back == moment else "does not exist"
    raise ValueError(f"{fault} in {zone.key}, because the clocks change then")
