"""Shows and removes items from phones that could not be read: `quarantine …`."""

import click

from ..core.messages import quarantine
from ..store.db import Session
from . import options, output
from .context import opened
from .entry import group

items = group("quarantine")

_COLUMNS = ("id", "device_id", "received_at", "reason")


@output.command(items, "list")
@click.option(
    "--limit",
    type=options.Number(1, 10_000),
    default=100,
    show_default=True,
    help="The most items to list.",
)
@click.option("--before", type=int, metavar="ID", help="Only items older than this one.")
def show_all(limit: int, before: int | None) -> None:
    """List what could not be read, newest first."""
    with opened() as context, context.database.reading() as session:
        found = [quarantine.shape(item) for item in quarantine.page(session, limit, before)]
        dropped = quarantine.dropped_count(session)
    output.rows(found, _COLUMNS, "The quarantine is empty.")
    if dropped:
        click.echo(
            f"{dropped} older items were removed to make room for newer ones of their device.",
            err=True,
        )


@output.command(items, "show")
@click.argument("item_id", type=int)
def show(item_id: int) -> None:
    """Show an item as the phone sent it, and why it could not be read."""
    with opened() as context, context.database.reading() as session:
        answer = quarantine.shape(quarantine.get(session, item_id))
    output.one(answer)


@output.command(items, "clear")
@click.argument("item_ids", type=int, nargs=-1)
def clear(item_ids: tuple[int, ...]) -> None:
    """Remove the given items, or all items if none are given."""
    with opened() as context, context.database.transaction() as session:
        count = _clear(session, item_ids)
    output.say(f"Removed {count} items.", {"cleared_count": count})


def _clear(session: Session, item_ids: tuple[int, ...]) -> int:
    if item_ids:
        return quarantine.clear(session, item_ids)
    return quarantine.clear_all(session)
