"""`export` and `import`: messages to and from files."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TextIO

import click
from sqlalchemy.orm import Session

from .. import clock
from ..core import archive, crms, outbound, shapes
from ..errors import Conflict, Invalid
from ..settings import Settings
from ..store.models import Crm
from . import output, table
from .entry import group
from .house import opened
from .moments import Moment
from .table import Row

_AT_ONCE = 1000
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

export = group("export", "Write to a file.")
take_in = group("import", "Read from a file.")


@output.command(export, "messages")
@click.option("--since", type=Moment(), help="Such as 2026-01-31, 2026-01-31T12:00:00Z or 7d.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), default="jsonl", show_default=True
)
@click.option("--output", "file", type=click.File("w", encoding="utf-8"), default="-")
def export_messages(since: datetime | None, form: str, file: TextIO) -> None:
    """Write all messages, oldest first.

    Texts are written as they came, also those that begin with = + - or @: a spreadsheet may take these for formulas,
    so import the columns as text there.
    """
    filters = archive.Filters(since=since)
    write = _csv_writer(file) if form == "csv" else _jsonl_writer(file)
    count = 0
    with opened() as house:
        with house.database.reading() as session:
            total = archive.count(session, filters)
        with _progress(total, "Exporting") as bar:
            for page in archive.walk(house.database, filters):
                for row in page:
                    write(shapes.message(row))
                count += len(page)
                bar.update(len(page))
    # The count must not come between the messages.
    click.echo(
        json.dumps({"exported_count": count}) if output.wants_json() else f"{count} exported.",
        err=file is sys.stdout or file.name == "<stdout>",
    )


@output.command(take_in, "messages")
@click.argument("file", type=click.File("rb"))
@click.option("--crm", "crm_name", required=True, metavar="NAME", help="On behalf of this CRM.")
def import_messages(file: io.BufferedReader, crm_name: str) -> None:
    """Queue the messages of a CSV file, all or none.

    The first row names the columns: to, content and, if wanted, reference, device_id, send_at, priority.
    """
    rows = table.read(file.read())
    with opened() as house, house.database.transaction() as session:
        crm = crms.get(session, crm_name)
        now = clock.now()
        with _progress(len(rows), "Importing") as bar:
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                _queue(session, crm, house.settings, part, now)
                bar.update(len(part))
    output.say(f"{len(rows)} imported.", {"imported_count": len(rows)})


def _queue(
    session: Session, crm: Crm, settings: Settings, rows: Sequence[Row], now: datetime
) -> None:
    try:
        outbound.queue(session, crm, settings, [row.draft for row in rows], now)
    except Invalid as error:
        position, fields = next(iter(error.details["messages"].items()))
        name, texts = next(iter(fields.items()))
        raise rows[position].fault(f"{name}: {texts[0]}") from None
    except Conflict as error:
        raise rows[error.details["rows"][0]].fault(error.message) from None


def _csv_writer(file: TextIO) -> Callable[[dict[str, Any]], None]:
    table.write_header(file, COLUMNS)
    return lambda message: table.write_row(file, message, COLUMNS)


def _jsonl_writer(file: TextIO) -> Callable[[dict[str, Any]], None]:
    return lambda message: click.echo(json.dumps(message, ensure_ascii=False), file=file)


def _progress(length: int, label: str) -> AbstractContextManager[Any]:
    """A progress bar on a terminal, nothing elsewhere."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    )
