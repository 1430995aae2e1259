"""Opens the registration of phones or CRMs for some minutes, and shows how long it is open."""

from datetime import datetime
from typing import Any

from flask import flash

from .. import clock
from ..core.devices.pairing import Registration
from ..http.context import services
from . import forms

_MOST_MINUTES = 1440


def open_as_sent(registration: Registration, who: str) -> None:
    """Open it for the minutes of the form, or close it for 0, and tell the visitor; `who` is "CRMs" or "Phones"."""
    minutes = forms.whole("minutes", 0, _MOST_MINUTES)
    with services().database.transaction() as session:
        registration.open_for(session, minutes, clock.now())
    flash(
        f"{who} may register themselves for {minutes} minutes."
        if minutes
        else f"{who} may no longer register themselves."
    )


def shown(registration: Registration, until: datetime | None, now: datetime) -> dict[str, Any]:
    """Return what the macro `registration` needs; `until`, to which an operator opened it, may be in the past."""
    return {
        "is_always_open": registration.is_always_open(services().settings),
        "open_until": until if until is not None and until > now else None,
        "most_minutes": _MOST_MINUTES,
    }
