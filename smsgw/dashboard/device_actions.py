"""Acts on a phone: approves, enables, disables, resets and removes it, and gives it a new password."""

from collections.abc import Callable
from typing import Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts import enrolment, ownership
from ..core.accounts.roles import OPERATOR
from ..core.devices import breaker, registry
from ..http.context import services
from ..store.db import Session
from ..store.models import Device
from . import device, device_logins
from .blueprint import blueprint
from .guards import allows


@blueprint.post("/devices/<device_id>/approve")
@allows(OPERATOR)
def approve_device(device_id: str) -> Any:
    """Approve a phone that registered itself."""
    return _change(device_id, ownership.approve, f"{device_id} is approved.")


@blueprint.post("/devices/<device_id>/enable")
@allows(OPERATOR)
def enable_device(device_id: str) -> Any:
    """Accept the phone again, and end its pause."""
    return _change(device_id, enrolment.enable, f"{device_id} is enabled.")


@blueprint.post("/devices/<device_id>/disable")
@allows(OPERATOR)
def disable_device(device_id: str) -> Any:
    """Refuse the phone; its queue waits."""
    with services().database.transaction() as session:
        enrolment.disable(registry.get(session, device_id))
    flash(f"{device_id} is disabled; what is queued for it waits.")
    return _back(device_id)


@blueprint.post("/devices/<device_id>/resume")
@allows(OPERATOR)
def resume_device(device_id: str) -> Any:
    """End the pause after failures."""
    return _change(device_id, breaker.resume, f"{device_id} gets messages again.")


@blueprint.post("/devices/<device_id>/reset")
@allows(OPERATOR, confirmed=True)
def reset_device(device_id: str) -> Any:
    """Fail all messages that the phone has in hand, because it has lost its data."""
    with services().database.transaction() as session:
        count = enrolment.reset(session, registry.get(session, device_id), clock.now())
    flash(
        f"{device_id} starts afresh. {count} {'message' if count == 1 else 'messages'} it had in hand may have been "
        "sent or not; resend them knowingly from the list of messages."
        if count
        else f"{device_id} starts afresh. It had nothing in hand."
    )
    return _back(device_id)


@blueprint.post("/devices/<device_id>/rotate")
@allows(OPERATOR, confirmed=True)
def rotate_device(device_id: str) -> Any:
    """Give the phone a new password and show it once."""
    with services().database.transaction() as session:
        password = enrolment.rotate(session, registry.get(session, device_id), clock.now())
    return device.shown(device_id, device_logins.shown(device_id, password))


@blueprint.post("/devices/<device_id>/remove")
@allows(OPERATOR, confirmed=True)
def remove_device(device_id: str) -> Any:
    """Remove the phone; its messages stay."""
    with services().database.transaction() as session:
        enrolment.remove(session, registry.get(session, device_id), clock.now())
    flash(f"{device_id} was removed.")
    return redirect(url_for("dashboard.devices"), 303)


def _change(device_id: str, change: Callable[[Session, Device], None], text: str) -> Any:
    """Change the phone, and return to its page with a text."""
    with services().database.transaction() as session:
        change(session, registry.get(session, device_id))
    flash(text)
    return _back(device_id)


def _back(device_id: str) -> Any:
    return redirect(url_for("dashboard.device", device_id=device_id), 303)
