"""Serves `/admin/devices`: the phones, adding one, and letting phones register themselves for a while."""

from typing import Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts import enrolment, ownership
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices.pairing import PHONES
from ..http.context import services
from . import device_access, device_logins, forms, navigation, rendering
from .blueprint import blueprint
from .device_logins import ShownLogin
from .guards import allows

navigation.add("Devices", "devices", role=VIEWER, icon="smartphone", order=20)

_MOST_MINUTES = 1440


@blueprint.get("/devices")
@allows(VIEWER)
def devices() -> Any:
    """List the phones; those that wait for approval and those with a problem come first."""
    return _devices()


@blueprint.post("/devices/add")
@allows(OPERATOR, confirmed=True)
def add_device() -> Any:
    """Add a phone and show its login once."""
    device_id, phone = forms.text("device_id"), forms.text("phone") or None
    region = services().settings.default_region
    with services().database.transaction() as session:
        _, password = enrolment.add_with_password(session, device_id, phone, region, clock.now())
    return _devices(device_logins.shown(device_id, password))


@blueprint.post("/devices/pair")
@allows(OPERATOR)
def open_registration() -> Any:
    """Let phones register themselves for some minutes; 0 ends that."""
    minutes = forms.whole("minutes", 0, _MOST_MINUTES)
    with services().database.transaction() as session:
        PHONES.open_for(session, minutes, clock.now())
    flash(
        f"Phones may register themselves for {minutes} minutes."
        if minutes
        else "Phones may no longer register themselves."
    )
    return redirect(url_for("dashboard.devices"), 303)


def _devices(login: ShownLogin | None = None) -> Any:
    now, settings = clock.now(), services().settings
    with services().database.reading() as session:
        shapes = ownership.shapes(session, device_access.everyone(session), settings, now)
        open_until = PHONES.open_until(session)
    shapes.sort(key=_order)
    return rendering.render(
        "devices.html",
        title="Devices",
        state="warning" if shapes and _order(shapes[0])[0] < 2 else None,
        devices=shapes,
        login=login,
        is_always_open=settings.open_registration,
        open_until=open_until if open_until is not None and open_until > now else None,
        most_minutes=_MOST_MINUTES,
    )


def _order(shape: dict[str, Any]) -> tuple[int, str]:
    """Return the place in the list: waiting for approval, having a problem, all others."""
    if not shape["approved"]:
        return 0, shape["device_id"]
    has_problem = shape["enabled"] and (
        not shape["online"] or shape["silences"] or shape["limited_until"]
    )
    return 1 if has_problem else 2, shape["device_id"]
