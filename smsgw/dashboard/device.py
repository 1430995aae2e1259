"""Serves `/admin/devices/<id>`: the state of a phone, its limits, and what to do when it is replaced."""

from typing import Any

from flask import Response, flash, redirect, request, url_for

from .. import clock
from ..core.accounts import crms, ownership
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices import recent_outcomes, routing
from ..core.messages import queueing
from ..core.messages.drafts import Draft
from ..core.operations import callers
from ..core.operations.finding import Finding
from ..http.context import services
from ..store.db import Session
from ..store.models import Device
from . import device_access, device_settings, finding_links, findings, forms, rendering, visitors
from .blueprint import blueprint
from .device_logins import ShownLogin
from .guards import allows

TEST_TEXT = "This is a test from smsgw."

finding_links.add(
    "device",
    "Look at the phone",
    lambda device_id: url_for("dashboard.device", device_id=device_id),
)


@blueprint.get("/devices/<device_id>")
@allows(VIEWER)
def device(device_id: str) -> Any:
    """Show one phone."""
    return shown(device_id)


@blueprint.get("/devices/<device_id>/news")
@allows(VIEWER)
def one_device_news(device_id: str) -> Response:
    """Show the state of the phone again, if it has been seen since."""
    with services().database.reading() as session:
        found = device_access.get(session, device_id)
        if _position(found) == request.args.get("seen"):
            return rendering.nothing_new()
        return rendering.fragment("_device.html", **_health(session, found))


@blueprint.get("/gateways/<device_id>/test")
@allows(OPERATOR)
def test_device(device_id: str) -> Any:
    """Lead to the form that sends a test, from addresses of other servers for this app."""
    return redirect(url_for("dashboard.device", device_id=device_id, _anchor="test"), 303)


@blueprint.post("/devices/<device_id>/test")
@allows(OPERATOR)
def send_device_test(device_id: str) -> Any:
    """Queue a test for this phone alone, and show the message."""
    draft = Draft(to=forms.text("to"), content=forms.text("content"), device_id=device_id)
    with services().database.transaction() as session:
        crm = crms.get(session, forms.text("crm"))
        queued = queueing.queue_one(session, crm, services().settings, draft, clock.now())
        message_id = queued.message.id
    flash("The test is queued. This page shows how it goes on.")
    return redirect(url_for("dashboard.message", message_id=message_id), 303)


def shown(device_id: str, login: ShownLogin | None = None) -> Any:
    """Return the page of the phone, with its login if that is new."""
    with services().database.reading() as session:
        found = device_access.get(session, device_id)
        health = _health(session, found)
        is_changeable = visitors.is_allowed(OPERATOR)
        crm_names = [crm.name for crm in crms.everyone(session)] if is_changeable else []
    return rendering.render(
        "device.html",
        title=device_id,
        state=health["findings"][0].state if health["findings"] else None,
        login=login,
        limit_names=device_settings.LIMIT_NAMES,
        crm_names=crm_names,
        test_text=TEST_TEXT,
        **health,
    )


def _health(session: Session, found: Device) -> dict[str, Any]:
    now, settings = clock.now(), services().settings
    (shape,) = ownership.shapes(session, [found], settings, now)
    return {
        "device": shape,
        "position": _position(found),
        "findings": _findings(session, found),
        "outcomes": recent_outcomes.of_device(session, found.id, now),
        "users": routing.names_for_device(session, found.id),
    }


def _findings(session: Session, found: Device) -> list[Finding]:
    """Return what is wrong with the phone, wrong things first."""
    everything = callers.findings(session, services().settings, clock.now(), [found])
    its = [
        finding
        for finding in everything
        if finding.check == f"device {found.id}" and finding.state != "ok"
    ]
    return sorted(its, key=lambda finding: findings.ORDER[finding.state])


def _position(found: Device) -> str:
    return clock.rfc3339_or_none(found.last_seen_at) or "never"
