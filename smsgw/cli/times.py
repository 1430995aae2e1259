"""Reads times as people write them on the command line and in files."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click

from .. import clock

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EXAMPLE = "2026-01-31T12:00:00Z"
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


class NoZone(ValueError):
    """A time without a zone, where no zone is known."""


class TimeParameter(click.ParamType[datetime]):
    """An RFC 3339 time with a zone, a date (midnight UTC), or a time ago, such as `90m`, `24h` or `7d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        if ago:
            return clock.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if _is_date(value):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        try:
            return parse(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}, nor like 2026-01-31 or 7d", param, ctx)


class Zone(click.ParamType[ZoneInfo]):
    """The name of a time zone, such as `Europe/Berlin`."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> ZoneInfo:
        if isinstance(value, ZoneInfo):
            return value
        try:
            return ZoneInfo(value)
        except (OSError, ValueError, KeyError):
            self.fail(f"{value!r} is not a time zone such as Europe/Berlin", param, ctx)


def parse(text: str, zone: ZoneInfo | None = None) -> datetime:
    """Return the moment in UTC; a text without a zone is local time in `zone`.

    Raises `ValueError` for a text that is not RFC 3339 or does not mean exactly one moment; the message is worded to
    follow the text itself.
    """
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"is not like {_EXAMPLE}") from None
    if _is_date(text):
        raise ValueError(f"has no time: it is not like {_EXAMPLE}")
    if moment.tzinfo is None:
        moment = _local(moment, zone)
    try:
        found = moment.astimezone(UTC)
    except OverflowError:
        found = _LATEST
    if not _EARLIEST <= found < _LATEST:
        raise ValueError("must be between 1970 and 2999")
    return found


def _local(moment: datetime, zone: ZoneInfo | None) -> datetime:
    if zone is None:
        raise NoZone(f"has no time zone: it is not like {_EXAMPLE}")
    early, late = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return early
    back = early.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    fault = "occurs twice" if back == moment else "does not exist"
    raise ValueError(f"{fault} in {zone.key}, because the clocks change then")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
