"""Manages the numbers that want no more messages: `opt-out …`."""

import click

from .. import clock
from ..core.accounts import crms, operator_json
from ..core.messages import opt_outs
from ..core.messages.history import writing_history
from ..core.messages.opt_outs import Cause
from ..errors import NotFound
from . import options, output
from .context import opened
from .entry import group

opt_out = group("opt-out")

_BY_CLI = Cause("cli")
_CRM = click.option("--crm", "crm_name", required=True, metavar="NAME", help="On this CRM's list.")
_NUMBER = click.argument("number")
_COLUMNS = ("number", "crm", "source", "note", "created_at")


@output.command(opt_out, "list")
@click.option("--crm", "crm_name", metavar="NAME", help="Only this CRM's list.")
@click.option(
    "--limit",
    type=options.Number(1, 10_000),
    default=100,
    show_default=True,
    help="The most numbers to list.",
)
def show_all(crm_name: str | None, limit: int) -> None:
    """List the numbers that opted out, newest first."""
    with opened() as context, context.database.reading() as session:
        crm_ids = None if crm_name is None else [crms.get(session, crm_name).id]
        page, _ = opt_outs.page(session, crm_ids, None, None, limit)
        names = operator_json.crm_names(session, {row.crm_id for row in page})
        found = [
            {**opt_outs.shape(row), "crm_id": row.crm_id, "crm": names.get(row.crm_id)}
            for row in page
        ]
    output.rows(found, _COLUMNS, "No number has opted out.")


@output.command(opt_out, "add")
@_NUMBER
@_CRM
@click.option("--note", metavar="TEXT", help="Such as how it was asked for.")
def add(number: str, crm_name: str, note: str | None) -> None:
    """Put a number on a CRM's list. Messages that are queued for it fail."""
    if note is not None and len(note) > opt_outs.LONGEST_NOTE:
        raise click.UsageError(f"a note has at most {opt_outs.LONGEST_NOTE} characters")
    with opened() as context, context.database.transaction() as session:
        crm = crms.get(session, crm_name)
        wanted = opt_outs.read_number(number, context.settings)
        with writing_history(session, clock.now()) as history:
            opt_outs.add(session, crm.id, wanted, _BY_CLI, history, note)
        answer = opt_outs.shape(opt_outs.get(session, crm.id, wanted))
    output.one(answer)


@output.command(opt_out, "remove")
@_NUMBER
@_CRM
def remove(number: str, crm_name: str) -> None:
    """Take a number off a CRM's list."""
    with opened() as context, context.database.transaction() as session:
        crm = crms.get(session, crm_name)
        wanted = opt_outs.read_number(number, context.settings)
        with writing_history(session, clock.now()) as history:
            if not opt_outs.remove(session, crm.id, wanted, _BY_CLI, history):
                raise NotFound(f"the number {wanted!r} is not on the list of {crm.name}")
    output.say(f"{wanted} is off the list of {crm.name}.", {"number": wanted, "removed": True})
