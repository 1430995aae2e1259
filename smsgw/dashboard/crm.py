"""Serves `/admin/crms/<id>`: a CRM, its routes, its key, enabling and removing it."""

from typing import Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts import crm_activity, crms, ownership, routes
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices import registry
from ..core.webhooks import endpoints
from ..errors import Conflict, Invalid, NotFound
from ..http.context import services
from ..store.db import Session
from ..store.models import Crm
from . import forms, program_lines, rendering, visitors, webhook_states
from .blueprint import blueprint
from .guards import allows

# The form's word for all devices.
_ALL = "all"


@blueprint.get("/crms/<crm_id>")
@allows(VIEWER)
def crm(crm_id: str) -> Any:
    """Show one CRM."""
    return _crm(crm_id)


@blueprint.post("/crms/<crm_id>/routes")
@allows(OPERATOR)
def route_crm(crm_id: str) -> Any:
    """Set which devices the CRM may use; `Conflict` if somebody else changed that meanwhile."""
    which, ticked = forms.text("which"), list(forms.texts("device_ids"))
    if which not in (_ALL, "some"):
        raise Invalid.sentence("which", "Choose all devices or some.")
    with services().database.transaction() as session:
        found = crms.get(session, crm_id)
        routes.lock(session, found)
        if forms.text("was") != _routes(session, found):
            text = "Somebody changed these meanwhile. Reload the page, and change them if you still want to."
            raise Conflict(text, code="changed_meanwhile", details={"which": [text]})
        crms.route(session, found, None if which == _ALL else ticked, clock.now())
    flash("The routes are saved.")
    return _back(crm_id)


@blueprint.post("/crms/<crm_id>/approve")
@allows(OPERATOR)
def approve_crm(crm_id: str) -> Any:
    """Approve a CRM that registered itself."""
    with services().database.transaction() as session:
        crms.approve(crms.get(session, crm_id))
    flash("The CRM is approved. It may use its own devices; give it routes to others below.")
    return _back(crm_id)


@blueprint.post("/crms/<crm_id>/enable")
@allows(OPERATOR)
def enable_crm(crm_id: str) -> Any:
    """Accept the CRM's key again."""
    return _switch(crm_id, True, "The CRM is enabled.")


@blueprint.post("/crms/<crm_id>/disable")
@allows(OPERATOR)
def disable_crm(crm_id: str) -> Any:
    """Refuse the CRM's key; its queue waits."""
    return _switch(crm_id, False, "The CRM is disabled; what it has queued waits.")


@blueprint.post("/crms/<crm_id>/rotate")
@allows(OPERATOR, confirmed=True)
def rotate_crm(crm_id: str) -> Any:
    """Give the CRM a new key and show it once."""
    with services().database.transaction() as session:
        key = crms.rotate(crms.get(session, crm_id))
    return _crm(crm_id, key)


@blueprint.post("/crms/<crm_id>/remove")
@allows(OPERATOR, confirmed=True)
def remove_crm(crm_id: str) -> Any:
    """Remove the CRM; its messages stay."""
    with services().database.transaction() as session:
        crms.remove(session, crms.get(session, crm_id), clock.now())
    flash("The CRM was removed.")
    return redirect(url_for("dashboard.crms"), 303)


def _crm(crm_id: str, key: str | None = None) -> Any:
    now = clock.now()
    with services().database.reading() as session:
        found = crms.get(session, crm_id)
        if not visitors.access(session).includes(found.id):
            raise NotFound(f"no CRM {crm_id[:80]!r}")
        (shape,) = crms.shapes(session, [found])
        webhooks = endpoints.shapes(session, endpoints.of_crm(session, found.id))
        values: dict[str, Any] = {
            "activity": crm_activity.of_crms(session, [found.id])[found.id],
            "routes": _routes(session, found),
            "own": [device.id for device in ownership.of_crm(session, found.id)],
            "device_ids": [device.id for device in registry.everyone(session)],
        }
    return rendering.render(
        "crm.html",
        title=shape["name"],
        state=None if shape["approved"] else "warning",
        crm=shape,
        webhooks=[{**each, "how": webhook_states.of(each, now)} for each in webhooks],
        key=key,
        lines=program_lines.sending(key) if key else program_lines.sending(),
        **values,
    )


def _routes(session: Session, found: Crm) -> str:
    """Return the devices that the CRM may use as one text."""
    (shape,) = crms.shapes(session, [found])
    return _ALL if shape["device_ids"] is None else ",".join(shape["device_ids"])


def _switch(crm_id: str, is_enabled: bool, text: str) -> Any:
    with services().database.transaction() as session:
        changes = {"enabled": is_enabled}
        crms.update(session, crms.get(session, crm_id), changes, clock.now())
    flash(text)
    return _back(crm_id)


def _back(crm_id: str) -> Any:
    return redirect(url_for("dashboard.crm", crm_id=crm_id), 303)
