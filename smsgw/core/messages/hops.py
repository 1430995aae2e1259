"""Defines where an unfinished message can be on its way."""

from datetime import datetime
from typing import Any, NamedTuple

from ...clock import rfc3339, rfc3339_or_none
from ..devices.advice import Advice

HELD = "held"
PAUSED = "paused"
SCHEDULE = "schedule"
DEVICE = "device"
LIMIT = "limit"
CONFIRMATION = "confirmation"
PHONE = "phone"
RADIO = "radio"
NETWORK = "network"
DELIVERY_REPORT = "delivery_report"


class Hop(NamedTuple):
    """The place where a message waits, since when and on which device, in words, and what to do.

    `until` is for limits alone.
    """

    name: str
    since: datetime | None
    device_id: str | None
    text: str
    advice: Advice
    until: datetime | None = None

    def shape(self) -> dict[str, Any]:
        """Return it as REST shows it: `{"hop", "since", "device_id", "text"}`, and of a limit `until`."""
        shown = {
            "hop": self.name,
            "since": rfc3339_or_none(self.since),
            "device_id": self.device_id,
            "text": self.text,
        }
        return shown if self.until is None else {**shown, "until": rfc3339(self.until)}


def time(moment: datetime) -> str:
    """Return a moment as the texts name it: `2026-01-31T12:00:00Z`."""
    return rfc3339(moment)[:19] + "Z"
