"""Reads times as people write them on the command line and in files."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click

from .. import clock
from ..local_times import is_date, parse

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class TimeParameter(click.ParamType[datetime]):
    """An RFC 3339 time with a zone, a date (midnight UTC), or a time ago, such as `90m`, `24h` or `7d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        if ago:
            return clock.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if is_date(value):
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
