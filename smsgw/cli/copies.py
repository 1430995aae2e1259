"""Moves the data to another database: `copy`."""

import sys
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import click

from .. import clock, program
from .. import settings as settings_module
from ..core.operations import copy_marks, copying
from ..core.operations.copying import CopiedDatabase
from ..errors import Conflict, GatewayError
from ..store import outages
from ..store.db import Database
from . import output
from .context import at_head, connected
from .entry import root

# How often a line says how far it is where there is no terminal.
_LINE_SECONDS = 10.0
_COLUMNS = ("table", "source", "target", "checksum")


class ProgressShown:
    """A progress bar on a terminal for each stage, and otherwise a line now and then, both on standard error."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bar: Any = None
        self._stage, self._done = "", 0
        self._said_at = 0.0
        self.copied_count = self.row_count = 0

    def __enter__(self) -> "ProgressShown":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, stage: str, table: str, done: int, total: int) -> None:
        """Show that so many of all rows are done."""
        if stage == copying.COPYING:
            self.copied_count, self.row_count = done, total
        if stage != self._stage:
            self._begin(stage, total)
        if self._bar is not None:
            self._bar.update(done - self._done, table)
        elif time.monotonic() - self._said_at > _LINE_SECONDS or done == total > self._done:
            self._said_at = time.monotonic()
            click.echo(f"{stage} {table}: {done:,} of {total:,} rows", err=True)
        self._done = done

    def _begin(self, stage: str, total: int) -> None:
        self._stack.close()
        self._stage, self._done, self._said_at = stage, 0, time.monotonic()
        if sys.stderr.isatty():
            self._bar = self._stack.enter_context(_bar(stage, total))


@output.command(root, "copy")
@click.option(
    "--to",
    "url",
    required=True,
    metavar="URL",
    help="The empty database, as SMSGW_DATABASE_URL takes it; PGPASSWORD or ~/.pgpass may have its password.",
)
def copy(url: str) -> None:
    """Copy everything to another database. The server must be stopped.

    From SQLite to PostgreSQL, or back, or to one of the same kind.

    Afterwards all is compared. If the command is interrupted, repeat it to go on. From its beginning on, the server
    refuses to serve the old database, so that nothing goes out twice; `db reopen` is the way back.
    """
    target_url = settings_module.database_url(url, "--to")
    began = time.monotonic()
    with at_head() as context, connected(target_url) as target, ProgressShown() as progress:
        click.echo(f"Copying to {target.shown_url}", err=True)
        try:
            done = copying.copy(context.database, target, clock.now(), progress.show)
        except (GatewayError, KeyboardInterrupt) as error:
            raise _interrupted(error, progress, context.database) from None
        shown = target.shown_url
    seconds = time.monotonic() - began
    if output.wants_json():
        output.print_json(_json(done, shown, seconds))
        return
    _show(done)
    for line in _words(done, shown, seconds):
        output.paragraph(line)


def _interrupted(error: BaseException, progress: ProgressShown, source: Database) -> BaseException:
    if isinstance(error, Conflict) or not _has_begun(source):
        return click.Abort() if isinstance(error, KeyboardInterrupt) else error
    done = f": {progress.copied_count:,} of {progress.row_count:,} rows are copied"
    return click.ClickException(
        f"{str(error) or 'interrupted'}{done if progress.row_count else ''}; repeat the command to go on, "
        f"or give the copy up with '{program.line('db reopen')}': until then no server starts on the old database"
    )


def _has_begun(source: Database) -> bool:
    """Return whether the copy must go on or be given up; true also where nobody can tell now."""
    with suppress(outages.DatabaseError):
        return copy_marks.is_being_copied(source)
    return True


def _show(done: CopiedDatabase) -> None:
    rows = [
        {
            "table": table.name,
            "source": f"{table.source_count:,}",
            "target": f"{table.target_count:,}",
            "checksum": table.checksum,
        }
        for table in done.tables
        if table.source_count or not output.is_terminal()
    ]
    output.rows(rows, _COLUMNS, "Nothing was there to copy.")


def _words(done: CopiedDatabase, shown: str, seconds: float) -> list[str]:
    row_count = sum(table.target_count for table in done.tables)
    lines = [
        f"{row_count:,} rows of {len(done.tables)} tables in {_duration(seconds)}: "
        "both have as many rows in each table, and the same checksum over all values of all rows."
    ]
    if done.replaced_count:
        lines.append(
            f"In {done.replaced_count} of them the character NUL, which PostgreSQL does not take, is U+FFFD now."
        )
    password = " (with the password in place of ***)" if "***" in shown else ""
    return [
        *lines,
        f"Next: set SMSGW_DATABASE_URL={shown}{password} where the server has its settings, and start it.",
        "The server refuses to serve the old database from now on, so that nothing is sent twice. The way back is "
        "'copy' from there into a new, empty database, or, without what comes from now on: "
        f"{program.line('db reopen')}",
    ]


def _json(done: CopiedDatabase, shown: str, seconds: float) -> dict[str, Any]:
    return {
        "to": shown,
        "counts": {table.name: table.target_count for table in done.tables},
        "checksums": {table.name: table.checksum for table in done.tables},
        "replaced_count": done.replaced_count,
        "went_on": done.went_on,
        "seconds": round(seconds, 1),
    }


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _bar(stage: str, total: int) -> AbstractContextManager[Any]:
    return click.progressbar(
        length=total, label=stage, file=sys.stderr, item_show_func=lambda table: table or ""
    )
