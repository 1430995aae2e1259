"""Serves `/api/v1/opt-outs`: the numbers that want no more messages of a CRM."""

from datetime import datetime
from typing import Any

from flask import Response

from .. import clock
from ..core.messages import opt_outs
from ..core.messages.history import writing_history
from ..core.messages.opt_outs import Cause
from ..errors import NotFound
from ..http.answers import answer
from ..http.context import services
from ..http.guards import crm_or_clerk_required, crm_or_operator_required, find_crm, this_crm
from ..http.idempotency import once
from ..sms import numbers
from ..store.db import Session
from ..store.models import OptOut
from . import readers
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import opt_outs as examples
from .schemas import opt_outs as opt_out_schemas

_BY_API = Cause("api")

blueprint = DocumentedBlueprint("Opt-outs", "The numbers to which a CRM can send no messages.")


@blueprint.on("GET", "/opt-outs")
@blueprint.answers(
    200, opt_out_schemas.OptOutPage, "A page of numbers.", example=examples.OPT_OUT_PAGE
)
@crm_or_operator_required
@blueprint.takes(opt_out_schemas.OptOutQuery, location="query")
def list_opt_outs(query: dict[str, Any]) -> Response:
    """List the numbers that opted out

    Newest first. An operator reads the lists of all CRMs, or that of the CRM in `crm`.
    """
    number = query.get("number")
    wanted = None if number is None else opt_outs.read_number(number, services().settings)
    with services().database.reading() as session:
        crm = readers.wanted_crm(session, query)
        found, next_cursor = opt_outs.page(
            session,
            None if crm is None else [crm.id],
            wanted,
            query.get("cursor"),
            query["limit"],
        )
        return answer({"data": _shapes(session, found), "next_cursor": next_cursor})


@blueprint.on("POST", "/opt-outs")
@blueprint.answers(
    200,
    opt_out_schemas.OptOutSchema,
    "The number was on the list before.",
    example=examples.OPT_OUT,
)
@blueprint.answers(
    201, opt_out_schemas.OptOutSchema, "The number is on the list now.", example=examples.OPT_OUT
)
@crm_or_clerk_required
@blueprint.takes(opt_out_schemas.NewOptOut, examples={"one": {"value": examples.NEW_OPT_OUT}})
def add(body: dict[str, Any]) -> Response:
    """Put a number on the list

    Messages to the number are refused with the code `opted_out` from now on. Those that are queued fail with the reason
    `opted_out`; those that a phone has already are not affected.
    """
    number, note = opt_outs.read_number(body["number"], services().settings), body.get("note")

    def act(session: Session, now: datetime) -> Response:
        with writing_history(session, now) as history:
            is_new = opt_outs.add(session, this_crm().id, number, _BY_API, history, note)
        found = opt_outs.get(session, this_crm().id, number)
        url = f"/api/v1/opt-outs/{found.number}"
        return answer(opt_outs.shape(found), 201 if is_new else 200, url)

    return once(act)


@blueprint.on("GET", "/opt-outs/<number>")
@blueprint.answers(200, opt_out_schemas.OptOutSchema, "The number.", example=examples.OPT_OUT)
@blueprint.fails(404)
@crm_or_clerk_required
def show(number: str) -> Response:
    """Find a number on the list"""
    with services().database.reading() as session:
        return answer(opt_outs.shape(opt_outs.get(session, this_crm().id, _number(number))))


@blueprint.on("DELETE", "/opt-outs/<number>")
@blueprint.answers(204, None, "The number is off the list.")
@blueprint.fails(404)
@crm_or_clerk_required
def remove(number: str) -> Response:
    """Take a number off the list

    Messages to it are accepted again. Those that failed with the reason `opted_out` can be resent.
    """
    wanted = _number(number)
    with (
        services().database.transaction() as session,
        writing_history(session, clock.now()) as history,
    ):
        if not opt_outs.remove(session, this_crm().id, wanted, _BY_API, history):
            raise NotFound(f"the number {wanted[:80]!r} is not on the list")
    return Response(status=204)


def _number(written: str) -> str:
    return opt_outs.read_number(numbers.from_query(written), services().settings)


def _shapes(session: Session, found: list[OptOut]) -> list[dict[str, Any]]:
    if find_crm() is not None:
        return [opt_outs.shape(row) for row in found]
    shapes = [{**opt_outs.shape(row), "crm_id": row.crm_id} for row in found]
    return readers.with_crm(session, shapes)
