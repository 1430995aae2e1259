"""Keeps the database safe: `backup`, `restore`, `release`."""

from datetime import datetime
from pathlib import Path

import click

from .. import clock, program
from ..core.accounts import crms
from ..core.messages import held
from ..core.operations import backups, restoring, spans
from ..core.operations.restoring import Restored
from ..sms import statuses
from . import output
from .context import opened, unchecked
from .entry import root
from .times import TimeParameter

_FILE = click.Path(dir_okay=False, path_type=Path)


@output.command(root, "backup")
@click.argument("file", type=_FILE)
@click.option("--replace", is_flag=True, help="Replace the file if it exists.")
def backup(file: Path, replace: bool) -> None:
    """Write the database to a file while the server runs.

    The file contains texts and secrets, so only its owner can read it. PostgreSQL needs pg_dump.
    """
    with opened() as context:
        made = backups.write(context.database, file, replaces=replace)
    answer = {
        "file": str(file),
        "size": made.size,
        "revision": made.contents.revision,
        "counts": made.contents.counts,
    }
    output.say(f"{file}: {_size(made.size)}, {made.contents.summary}. It was checked.", answer)


@output.command(root, "restore")
@click.argument("file", type=_FILE)
@click.option("--yes", is_flag=True, help="Do not ask before a database of PostgreSQL is replaced.")
def restore(file: Path, yes: bool) -> None:
    """Put a backup in the place of the database. The server must be stopped.

    An SQLite file is kept beside under another name. What is queued in the backup may have been sent since, so it is
    held until you run `release`; what phones had in hand fails as unconfirmed.
    """
    with unchecked() as context:
        if not context.database.is_sqlite and not yes:
            click.confirm("Everything in the database is replaced. Go on?", abort=True, err=True)
        done = restoring.restore(context.database, file, clock.now())
    kept = str(done.kept) if done.kept else None
    answer = {
        **{"revision": done.contents.revision, "counts": done.contents.counts, "kept": kept},
        **{"held_count": done.held_count, "unconfirmed_count": done.unconfirmed_count},
        "lost": done.lost,
    }
    output.say("\n".join(_words(done)), answer)


@output.command(root, "release")
@click.option("--crm", "crm_name", metavar="NAME", help="Only those of this CRM.")
@click.option(
    "--before",
    type=TimeParameter(),
    help="Only those queued before this time, such as 2026-01-31, or 2h for two hours ago.",
)
@click.option("--cancel", is_flag=True, help="Cancel them instead.")
def release(crm_name: str | None, before: datetime | None, cancel: bool) -> None:
    """Let phones send what is held since a restore or 'db reopen'.

    It may have been sent after the backup was made, and is then sent a second time.
    """
    change, count = held.cancel if cancel else held.release, 0
    with opened() as context:
        with context.database.reading() as session:
            crm_id = crms.get(session, crm_name).id if crm_name else None
        while True:
            with context.database.transaction() as session:
                changed = change(session, clock.now(), crm_id, before)
            count += changed
            if not changed:
                break
    name = statuses.CANCELLED if cancel else held.RELEASED
    output.say(f"{spans.counted(count, 'message')} {name}.", {f"{name}_count": count})


def stopped(held_count: int, unconfirmed_count: int) -> list[str]:
    """Return lines about messages that are not sent because they may have been sent since."""
    lines = []
    if held_count:
        lines.append(
            f"Held, because it may have been sent since: {spans.counted(held_count, 'queued message')}. "
            f"Run {program.line('release')}, or that with --cancel."
        )
    if unconfirmed_count:
        count = spans.counted(unconfirmed_count, "message")
        lines.append(f"Failed as unconfirmed, because a phone had it in hand: {count}.")
    return lines


def _words(done: Restored) -> list[str]:
    lines = [f"Restored {done.contents.summary}{_newest(done.contents.newest_message_at)}."]
    lost = ", ".join(f"{count} {name}" for name, count in done.lost.items() if count)
    if lost and done.previous:
        lines.append(
            f"The database before had more: {lost}{_newest(done.previous.newest_message_at)}."
        )
    if done.kept:
        lines.append(f"It is kept as {done.kept}.")
    return lines + stopped(done.held_count, done.unconfirmed_count)


def _newest(moment: str | None) -> str:
    return f", newest of {moment} UTC" if moment else ""


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
