"""Exports messages to files and imports them: `export` and `import`."""

import io
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

import click

from .. import clock
from ..core.accounts import crms, rate_limits
from ..core.messages import archive, csv_files, imports
from ..core.messages import json as message_json
from ..core.messages.csv_files import Place
from ..errors import GatewayError
from ..store.models import Crm
from . import options, output, private_files
from .context import CommandContext, opened
from .entry import group
from .times import Zone

MAX_FAULTS = 50
COLUMNS = [
    "id",
    "direction",
    "status",
    "device_id",
    "from",
    "to",
    "content",
    "encoding",
    "segments",
    "reason",
    "reason_class",
    "reference",
    "metadata",
    "priority",
    "send_at",
    "expires_at",
    "created_at",
    "updated_at",
    "sent_at",
    "delivered_at",
    "stuck_at",
    "received_at",
    "device_received_at",
    "sms_sent_at",
]

export = group("export")
take_in = group("import")


@output.command(export, "messages")
@options.SINCE
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    default="jsonl",
    show_default=True,
    help="The format of the file.",
)
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="-",
    help="The file to write; standard output by default.",
)
def export_messages(since: datetime | None, form: str, path: Path) -> None:
    """Export all messages, oldest first.

    Texts are exported unchanged, even if they begin with = + - or @. A spreadsheet may treat these as formulas, so
    import the columns as text there.
    """
    is_shown = str(path) == "-"
    writing = nullcontext(sys.stdout) if is_shown else private_files.replacing(path)
    with opened() as context, writing as file:
        count = _write(context, since, _csv_writer(file) if form == "csv" else _jsonl_writer(file))
    # Keep the count out of the exported messages.
    click.echo(
        json.dumps({"exported_count": count})
        if output.wants_json()
        else f"Exported {count} messages.",
        err=is_shown,
    )


@output.command(take_in, "messages")
@click.argument("file", type=click.File("rb"))
@options.CRM
@click.option(
    "--timezone", "zone", type=Zone(), help="The zone of times without one, such as Europe/Berlin."
)
@click.option(
    "--again", "is_again", is_flag=True, help="Import the file even if it was imported before."
)
def import_messages(
    file: io.BufferedReader, crm_name: str, zone: ZoneInfo | None, is_again: bool
) -> None:
    """Queue the messages of a CSV file, each once.

    The first row names the columns: to, content and, optionally, reference, device_id, send_at and priority. If any row
    is invalid, nothing is queued. If the import is interrupted, repeat the command to continue where it stopped.
    """
    sheet = csv_files.read(file.read(), zone)
    with opened() as context:
        now = clock.now()
        with context.database.reading() as session:
            crm = crms.get(session, crm_name)
            wanted = imports.file_of(sheet.drafts)
            found = imports.faults(session, crm, context.settings, wanted, now)
        _refuse({**sheet.faults, **{sheet.places[place]: text for place, text in found.items()}})
        with context.database.transaction() as session:
            rate_limits.check_request(session, crm, context.settings, now)
            done_count = imports.begin(session, crm, context.settings, wanted, now, is_again)
            imports.check_room(session, crm, context.settings, wanted, done_count, now)
        new_count = _queue(context, crm, wanted, done_count)
    known_count = len(sheet.drafts) - new_count
    output.say(
        f"{new_count} new, {known_count} already there.",
        {"imported_count": new_count, "already_there_count": known_count},
    )


def _write(
    context: CommandContext,
    since: datetime | None,
    write: Callable[[dict[str, Any]], None],
) -> int:
    count = 0
    with context.database.reading() as session:
        total = archive.count(session, since)
    with _progress(total, "Exporting") as bar:
        for page in archive.walk(context.database, since):
            for row in page:
                write(message_json.message(row))
            count += len(page)
            bar.update(len(page))
    return count


def _refuse(faults: Mapping[Place, str]) -> None:
    """End the command if there are invalid rows, and list the first 50 of them."""
    if not faults:
        return
    lines = [
        f"row {place.row}: {text}" + (f" (line {place.line})" if place.line != place.row else "")
        for place, text in sorted(faults.items())
    ]
    if len(lines) > 1:
        more = [f"… and {len(lines) - MAX_FAULTS} more"] if len(lines) > MAX_FAULTS else []
        head = f"{len(lines)} rows are invalid, so nothing was queued:"
        lines = [head, *lines[:MAX_FAULTS], *more]
    raise click.ClickException("\n".join(lines))


def _queue(context: CommandContext, crm: Crm, wanted: imports.File, done_count: int) -> int:
    """Queue the remaining rows in several transactions, and return the number of new messages."""
    new_count, row_count = 0, len(wanted.drafts)
    with _progress(row_count, "Importing") as bar:
        bar.update(done_count)
        while done_count < row_count:
            try:
                with context.database.transaction() as session:
                    now = clock.now()
                    step = imports.step(session, crm, context.settings, wanted, done_count, now)
            except (GatewayError, KeyboardInterrupt) as error:
                raise _interrupted(error, done_count, row_count) from None
            done_count += len(step)
            new_count += sum(one.is_new for one in step)
            bar.update(len(step))
    return new_count


def _interrupted(error: BaseException, done_count: int, row_count: int) -> click.ClickException:
    reason = str(error) or "interrupted"
    rest = f"{done_count} of {row_count} rows are queued; repeat the command to queue the rest"
    return click.ClickException(f"{reason}: {rest}")


def _csv_writer(file: TextIO) -> Callable[[dict[str, Any]], None]:
    csv_files.write_header(file, COLUMNS)
    return lambda message: csv_files.write_row(file, message, COLUMNS)


def _jsonl_writer(file: TextIO) -> Callable[[dict[str, Any]], None]:
    return lambda message: click.echo(json.dumps(message, ensure_ascii=False), file=file)


def _progress(length: int, label: str) -> AbstractContextManager[Any]:
    """Return a progress bar, which is hidden unless standard error is a terminal."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    )
