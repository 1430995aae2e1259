"""Shows who changed what: `audit`."""

from datetime import datetime

import click

from ..core.accounts import audit_log
from ..core.accounts.audit_log import Filters
from . import options, output
from .context import opened
from .entry import root
from .times import TimeParameter

_COLUMNS = ("at", "actor", "action", "object", "changes")
_TIME = TimeParameter()


@output.command(root, "audit")
@click.option("--since", type=_TIME, help="Only changes since this time, such as 2026-01-31 or 7d.")
@click.option("--until", type=_TIME, help="Only changes before this time.")
@click.option("--actor", metavar="NAME", help="Only changes by this operator, CRM or user.")
@click.option("--action", metavar="ACTION", help="Only this, such as device.rotate or device.")
@click.option("--device", "device_id", metavar="ID", help="Only changes of this phone.")
@click.option("--crm", "crm_name", metavar="NAME", help="Only changes of this CRM.")
@click.option(
    "--limit",
    type=options.Number(1, 10_000),
    default=100,
    show_default=True,
    help="The most changes to list.",
)
@click.option("--cursor", help="The next_cursor of the previous page.")
def show(
    since: datetime | None,
    until: datetime | None,
    actor: str | None,
    action: str | None,
    device_id: str | None,
    crm_name: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """Show who changed what, newest first.

    These are phones, CRMs, routes, keys, webhooks, limits, operators, opt-outs.
    """
    if device_id is not None and crm_name is not None:
        raise click.UsageError("give --device or --crm")
    kind = "device" if device_id is not None else "crm" if crm_name is not None else None
    filters = Filters(since, until, actor, action, kind, device_id or crm_name)
    with opened() as context, context.database.reading() as session:
        found, next_cursor = audit_log.page(session, filters, cursor, limit)
    shown = [
        {
            **entry,
            "actor": " ".join(filter(None, (entry["actor_kind"], entry["actor_name"]))),
            "object": entry["object_name"] or entry["object_id"],
        }
        for entry in found
    ]
    answer = {"data": found, "next_cursor": next_cursor}
    output.rows(shown, _COLUMNS, "No change was found.", answer=answer)
    if next_cursor and not output.wants_json():
        click.echo(f"For the next page, add: --cursor {next_cursor}", err=True)
