"""Serves `/admin/crms`: the programs that send and receive, adding one, and letting CRMs register themselves."""

from typing import Any

from flask import redirect, url_for

from .. import clock
from ..core.accounts import crm_activity
from ..core.accounts import crms as core_crms
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices.pairing import CRMS
from ..http.context import services
from . import (
    finding_links,
    forms,
    navigation,
    program_lines,
    registration_forms,
    rendering,
    visitors,
)
from .blueprint import blueprint
from .guards import allows

navigation.add("CRMs", "crms", role=VIEWER, icon="plug", order=60)
# Those that wait for approval come first in the list.
finding_links.add("crm", "Look at the CRMs", lambda _: url_for("dashboard.crms"))


@blueprint.get("/crms")
@allows(VIEWER)
def crms() -> Any:
    """List the CRMs; those that wait for approval come first."""
    return _crms()


@blueprint.post("/crms/add")
@allows(OPERATOR, confirmed=True)
def add_crm() -> Any:
    """Add a CRM that may use all phones, and show its key once."""
    with services().database.transaction() as session:
        crm, key = core_crms.add(session, forms.text("name"), None, clock.now())
        made = {"id": crm.id, "name": crm.name, "key": key}
    return _crms(made)


@blueprint.post("/crms/pair")
@allows(OPERATOR)
def open_crm_registration() -> Any:
    """Let CRMs register themselves for some minutes; 0 ends that."""
    registration_forms.open_as_sent(CRMS, "CRMs")
    return redirect(url_for("dashboard.crms"), 303)


def _crms(made: dict[str, str] | None = None) -> Any:
    now = clock.now()
    with services().database.reading() as session:
        access = visitors.access(session)
        rows = [row for row in core_crms.everyone(session) if access.includes(row.id)]
        shapes = core_crms.shapes(session, rows)
        activity = crm_activity.of_crms(session, [row.id for row in rows])
        open_until = CRMS.open_until(session)
    shapes.sort(key=lambda shape: (shape["approved"], shape["name"]))
    return rendering.render(
        "crms.html",
        title="CRMs",
        state="warning" if shapes and not shapes[0]["approved"] else None,
        crms=shapes,
        activity=activity,
        made=made,
        lines=made and program_lines.sending(made["key"]),
        **registration_forms.shown(CRMS, open_until, now),
    )
