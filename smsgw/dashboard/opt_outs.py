"""Serves `/admin/opt-outs`: the numbers that want no more messages, by CRM."""

from collections.abc import Sequence
from typing import Any

from flask import flash, redirect, request, url_for

from .. import clock
from ..core.accounts import audit_log, crms, operator_json
from ..core.accounts.roles import CLERK, VIEWER
from ..core.messages import opt_outs
from ..core.messages.history import writing_history
from ..core.messages.opt_outs import LONGEST_NOTE, Cause
from ..errors import Invalid, NotFound
from ..http.context import services
from ..store.db import Session
from ..store.models import Crm, OptOut
from . import forms, message_search, navigation, rendering, visitors
from .blueprint import blueprint
from .guards import allows

navigation.add("Opt-outs", "opted_out_numbers", role=VIEWER, icon="ban", order=70)

PAGE_SIZE = 50
_BY_HAND = Cause("api")


@blueprint.get("/opt-outs")
@allows(VIEWER)
def opted_out_numbers() -> Any:
    """List the numbers on the lists of the CRMs that this person may see, newest first."""
    typed, cursor = message_search.number_of_query(), request.args.get("cursor") or None
    number = None if typed is None else opt_outs.read_number(typed, services().settings)
    with services().database.reading() as session:
        crm_ids = message_search.crm_ids(session)
        found, next_cursor = opt_outs.page(session, crm_ids, number, cursor, PAGE_SIZE)
        rows = _rows(session, found)
        crm_names = message_search.crm_names(session)
    return rendering.render(
        "opt_outs.html",
        title="Opt-outs",
        rows=rows,
        next_cursor=next_cursor,
        typed=message_search.typed(),
        cursor=cursor,
        crm_names=crm_names,
        longest_note=LONGEST_NOTE,
    )


@blueprint.post("/opt-outs/add")
@allows(CLERK)
def add_opt_out() -> Any:
    """Put a number on a CRM's list; messages that are queued for it fail."""
    number = opt_outs.read_number(forms.text("number"), services().settings)
    note = forms.text("note")
    if len(note) > LONGEST_NOTE or "\0" in note:
        raise Invalid.sentence("note", f"Must be a text of at most {LONGEST_NOTE} characters.")
    with (
        services().database.transaction() as session,
        writing_history(session, clock.now()) as history,
    ):
        crm = _crm(session)
        is_new = opt_outs.add(session, crm.id, number, _BY_HAND, history, note or None)
    flash("The number is on the list now." if is_new else "The number was on the list before.")
    return _back()


@blueprint.post("/opt-outs/remove")
@allows(CLERK)
def remove_opt_out() -> Any:
    """Take a number off a CRM's list."""
    number = opt_outs.read_number(forms.text("number"), services().settings)
    with (
        services().database.transaction() as session,
        writing_history(session, clock.now()) as history,
    ):
        if not opt_outs.remove(session, _crm(session).id, number, _BY_HAND, history):
            raise NotFound("The number is not on the list any more.")
    flash("The number is off the list. Messages to it are taken again.")
    return _back()


def _crm(session: Session) -> Crm:
    if not forms.text("crm"):
        raise Invalid.sentence("crm", "Choose a CRM.")
    crm = crms.get(session, forms.text("crm"))
    if not visitors.access(session).includes(crm.id):
        raise NotFound(f"There is no CRM {crm.name!r}.")
    return crm


def _back() -> Any:
    page = forms.local_path(forms.text(forms.PAGE)) or url_for("dashboard.opted_out_numbers")
    return redirect(page, 303)


def _rows(session: Session, found: Sequence[OptOut]) -> list[dict[str, Any]]:
    names = operator_json.crm_names(session, {row.crm_id for row in found})
    by_hand = {row.id: row.created_at for row in found if row.source != "sms"}
    actors = audit_log.who_added(session, "opt_out", by_hand)
    return [
        {**opt_outs.shape(row), "id": row.id, "crm": names[row.crm_id], "actor": actors.get(row.id)}
        for row in found
    ]
