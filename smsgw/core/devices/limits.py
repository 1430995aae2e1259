"""Defines the limits of a device: its own, and those of the settings where it has none."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ...settings import Settings
from ...store.models import Device

# The limits on segments, and for how long a hand-out counts against each.
WINDOWS = {
    "segments_per_minute": timedelta(minutes=1),
    "segments_per_hour": timedelta(hours=1),
    "segments_per_day": timedelta(days=1),
}
RECIPIENTS = "recipients_per_month"
NAMES = (*WINDOWS, RECIPIENTS)


class HasLimits(Protocol):
    """A row with a device's own limits."""

    @property
    def segments_per_minute(self) -> int | None:
        """See `Device`."""

    @property
    def segments_per_hour(self) -> int | None:
        """See `Device`."""

    @property
    def segments_per_day(self) -> int | None:
        """See `Device`."""

    @property
    def recipients_per_month(self) -> int | None:
        """See `Device`."""


@dataclass(frozen=True)
class Limits:
    """The limits that count for a device; `None` where there is none."""

    segments_per_minute: int
    segments_per_hour: int | None = None
    segments_per_day: int | None = None
    recipients_per_month: int | None = None

    def find(self, name: str) -> int | None:
        """Return the limit of one of `NAMES`."""
        found: int | None = getattr(self, name)
        return found

    @property
    def largest_message(self) -> int | None:
        """Return how many segments a message may have at most: one that is larger would never fit.

        The limit per minute does not count here: a message that exceeds it is handed out alone.
        """
        wanted = (self.segments_per_hour, self.segments_per_day)
        return min((limit for limit in wanted if limit is not None), default=None)


def of(device: HasLimits, settings: Settings) -> Limits:
    """Return the limits that count for the device."""
    minute = device.segments_per_minute
    return Limits(
        settings.segments_per_minute if minute is None else minute,
        _either(device.segments_per_hour, settings.segments_per_hour),
        _either(device.segments_per_day, settings.segments_per_day),
        _either(device.recipients_per_month, settings.recipients_per_month),
    )


def own(device: HasLimits) -> dict[str, int | None]:
    """Return the device's own limits; `None` where the setting counts."""
    return {name: getattr(device, name) for name in NAMES}


def change(device: Device, wanted: Mapping[str, int | None]) -> None:
    """Set the limits that are named as the device's own; `None` for the setting."""
    for name in wanted.keys() & set(NAMES):
        setattr(device, name, wanted[name])


def month_of(now: datetime) -> str:
    """Return the calendar month in UTC, such as `2026-03`."""
    return f"{now.astimezone(UTC):%Y-%m}"


def bounds_of(month: str) -> tuple[datetime, datetime]:
    """Return when the month begins and when the next one does."""
    began_at = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return began_at, (began_at + timedelta(days=31)).replace(day=1)


def _either(own: int | None, setting: int | None) -> int | None:
    return setting if own is None else own
