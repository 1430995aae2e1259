"""Keeps the database safe: `backup`."""

from pathlib import Path

import click

from ..core.operations import backups
from . import output
from .context import opened
from .entry import root

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


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
