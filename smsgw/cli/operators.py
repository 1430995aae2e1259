"""Manages operators, clerks and viewers: `operator …`."""

from collections.abc import Sequence
from typing import Any

import click

from .. import clock
from ..clock import rfc3339
from ..core.accounts import operators
from ..core.accounts.operators import Access
from ..core.accounts.roles import OPERATOR, ROLES
from ..store.models import Operator
from . import output
from .context import opened
from .entry import group

operator = group("operator")

_NAME = click.argument("name")
_ROLE = click.option(
    "--role",
    type=click.Choice(ROLES),
    default=OPERATOR,
    show_default=True,
    help="A viewer reads without whole numbers, a clerk also sends and reads messages, an operator may do everything.",
)
_CRMS = click.option(
    "--crm",
    "crm_names",
    multiple=True,
    metavar="NAME",
    help="A CRM that a clerk sends and reads for; repeatable. Without it all of them, including those added later.",
)


@output.command(operator, "add")
@_NAME
@_ROLE
@_CRMS
def add(name: str, role: str, crm_names: tuple[str, ...]) -> None:
    """Add a person and print the key. It signs in to the dashboard too."""
    with opened() as context, context.database.transaction() as session:
        key = operators.add(session, name, clock.now(), role, list(crm_names) or None)
    output.once({"name": name, "key": key, "role": role})


@output.command(operator, "list")
def show_all() -> None:
    """List the people."""
    with opened() as context, context.database.reading() as session:
        everyone = operators.everyone(session)
        accesses = operators.accesses(session, everyone)
    found = [_shape(one, accesses[one.name]) for one in everyone]
    shown = [{**one, "crms": "all" if one["crms"] is None else one["crms"]} for one in found]
    columns = ("name", "role", "crms", "created_at")
    output.rows(shown, columns, "There are no operators yet.", answer=found)


@output.command(operator, "reset")
@_NAME
def reset(name: str) -> None:
    """Print a new key. The old key, the password and the codes stop working, and all sessions end."""
    with opened() as context, context.database.transaction() as session:
        found = operators.get(session, name)
        key = operators.reset(session, found)
    output.once({"name": name, "key": key, "role": found.role})


@output.command(operator, "remove")
@_NAME
def remove(name: str) -> None:
    """Remove a person. The key stops working and the sessions end at once."""
    with opened() as context, context.database.transaction() as session:
        operators.remove(session, name)
    output.say(f"{name} was removed.", {"name": name, "removed": True})


def _shape(one: Operator, access: Access) -> dict[str, Any]:
    names: Sequence[str] | None = None if access.crms is None else list(access.crms.values())
    return {
        "name": one.name,
        "role": one.role,
        "crms": names,
        "created_at": rfc3339(one.created_at),
    }
