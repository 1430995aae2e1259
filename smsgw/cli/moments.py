"""Moments as people write them on a command line and in a file."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from .. import clock

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """RFC 3339, a date (UTC), or how long ago: `90m`, `24h`, `7d`."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        if ago:
            return clock.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            return parse(value)
        except ValueError:
            self.fail(f"{value!r} is not like 2026-01-31, 2026-01-31T12:00:00Z or 7d", param, ctx)


def parse(text: str) -> datetime:
    """An RFC 3339 moment or a date; UTC where no zone is given. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
