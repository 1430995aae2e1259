"""Changes the settings of a phone: its number, its owner and its limits."""

from typing import Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts import crms, enrolment, ownership
from ..core.accounts.roles import OPERATOR
from ..core.devices import limits, monthly_recipients, registry
from ..http.context import services
from ..settings import HIGHEST_LIMIT
from ..store.db import Session
from ..store.models import Device
from . import forms
from .blueprint import blueprint
from .guards import allows

LIMIT_NAMES = {
    "segments_per_minute": "Segments per minute",
    "segments_per_hour": "Segments per hour",
    "segments_per_day": "Segments per day",
    "recipients_per_month": "Recipients per month",
}


@blueprint.post("/devices/<device_id>/change")
@allows(OPERATOR)
def change_device(device_id: str) -> Any:
    """Change the number, the owner and the limits, as far as they were changed on the page."""
    with services().database.transaction() as session:
        found = registry.get(session, device_id)
        if forms.is_changed("phone", found.phone or ""):
            region = services().settings.default_region
            enrolment.set_phone(found, forms.text("phone") or None, region)
        if forms.is_changed("crm", _owner_name(session, found)):
            owner = crms.get(session, forms.text("crm")) if forms.text("crm") else None
            ownership.assign(session, found, owner, clock.now())
        wanted = _changed_limits(found)
        monthly_recipients.change_limits(session, found, wanted, services().settings, clock.now())
    flash("The changes are saved.")
    return redirect(url_for("dashboard.device", device_id=device_id), 303)


def _owner_name(session: Session, found: Device) -> str:
    (shape,) = ownership.shapes(session, [found], services().settings, clock.now())
    return shape["crm"] or ""


def _changed_limits(found: Device) -> dict[str, int | None]:
    own = limits.own(found)
    return {
        name: _limit(name)
        for name in LIMIT_NAMES
        if forms.is_changed(name, "" if own[name] is None else str(own[name]))
    }


def _limit(name: str) -> int | None:
    if not forms.text(name):
        return None
    return forms.whole(name, 1, HIGHEST_LIMIT, ", or empty for the server's setting")
