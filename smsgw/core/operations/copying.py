"""Copies a database that nobody uses into an empty one, of the same or the other kind, and compares the two."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict
from ...store import audit, migrations, table_rows
from ...store.db import Database
from ...store.models import (
    CountedHistory,
    HistoryEntry,
)
from ...store.sqlite_files import FileUsed
from ...store.tables import plain
from ..events import recording
from . import copy_marks, copy_targets, in_use
from .copy_rows import COMPARING, COPYING, TABLES, OnRows, RowCopier, TableProgress, checksum_of

__all__ = ["COMPARING", "COPYING", "CopiedDatabase", "CopyDiffers", "copy"]

_SOURCE, _TARGET = "the source", "the target"
_SEQUENCE: sa.TextClause = sa.text("SELECT pg_get_serial_sequence(:table_name, :column_name)")
_SET: sa.TextClause = sa.text("SELECT setval(:sequence, :highest)")


class ComparedTable(NamedTuple):
    """A table with its number of rows in both databases, and the checksum that both have over all values."""

    name: str
    source_count: int
    target_count: int
    checksum: str


@dataclass(frozen=True)
class CopiedDatabase:
    """The compared tables, how many rows had the character NUL replaced, and whether an interrupted copy went on."""

    tables: list[ComparedTable]
    replaced_count: int
    went_on: bool


class CopyDiffers(Conflict):
    """A target whose rows are not those of the source."""

    code = "copy_differs"


def copy(source: Database, target: Database, now: datetime, on_rows: OnRows) -> CopiedDatabase:
    """Copy all rows, compare them, and let only the target be served from then on.

    Raises `Conflict` if one of them is in use or the target is not empty, `RowsFailed` if one of them cannot be read or
    written. After any interruption, the same call continues where this one has stopped.
    """
    if source.url == target.url:
        raise Conflict("the target is the source itself")
    for name, database in ((_SOURCE, source), (_TARGET, target)):
        _refuse_used(name, database)
    went_on = _begin(source, target, now)
    copier = RowCopier(source, target, on_rows)
    copier.run()
    tables = _compare(source, target, copier.progress, on_rows)
    with table_rows.errors_of(_SOURCE), source.transaction() as session:
        copy_marks.end(session, now)
    with table_rows.errors_of(_TARGET):
        _finish(source, target, now)
    replaced_count = sum(found.replaced_count for found in copier.progress.values())
    return CopiedDatabase(tables, replaced_count, went_on)


def _refuse_used(name: str, database: Database) -> None:
    database.close()
    try:
        with table_rows.errors_of(name):
            in_use.refuse(database)
    except (Conflict, FileUsed) as error:
        raise Conflict(f"{name}: {error}") from None


def _begin(source: Database, target: Database, now: datetime) -> bool:
    """Mark both databases, unless they are marked; return whether the copy has begun before."""
    with table_rows.errors_of(_SOURCE), source.reading() as session:
        mark = copy_marks.find(session)
    is_source = mark is not None and mark.role == copy_marks.SOURCE
    try:
        with table_rows.errors_of(_TARGET):
            found = copy_targets.examine(target)
    except Conflict:
        if mark is not None and is_source and mark.ended_at is not None:
            raise Conflict(": ".join(copy_marks.was_copied(mark))) from None
        raise
    if mark is not None and not is_source and mark.ended_at is None:
        raise Conflict("the source is an unfinished copy itself")
    if found is not None:
        if mark is None or not is_source or mark.token != found.token:
            raise Conflict("the target is the beginning of another copy: give an empty database")
        return True
    if mark is not None and is_source and mark.ended_at is not None:
        raise Conflict(": ".join(copy_marks.was_copied(mark)))
    _mark_both(source, target, now)
    return False


def _mark_both(source: Database, target: Database, now: datetime) -> None:
    """Mark both, and look once more whether somebody has begun to use one of them just before."""
    token = secrets.token_hex(16)
    with table_rows.errors_of(_TARGET):
        migrations.upgrade(target)
    with table_rows.errors_of(_SOURCE), source.transaction() as session:
        copy_marks.put(session, copy_marks.SOURCE, token, target.shown_url, now)
    try:
        _refuse_used(_SOURCE, source)
    except Conflict:
        with source.transaction() as session:
            copy_marks.clear(session)
        raise
    with table_rows.errors_of(_TARGET), target.transaction() as session:
        copy_targets.empty(session)
        copy_marks.put(session, copy_marks.TARGET, token, source.shown_url, now)
    _refuse_used(_TARGET, target)


def _compare(
    source: Database, target: Database, progress: dict[str, TableProgress], on_rows: OnRows
) -> list[ComparedTable]:
    """Count the rows of both, and read back all of the target; raise `CopyDiffers`."""
    compared, wrong, done = [], [], 0
    total = sum(found.count for found in progress.values())
    with source.snapshot() as old, target.snapshot() as new:
        for table in TABLES:
            report = partial(_report, on_rows, table.name, done, total)
            with table_rows.errors_of(_SOURCE):
                source_count = table_rows.count(old, table)
            with table_rows.errors_of(_TARGET):
                count, checksum = checksum_of(table_rows.read(new, table), report)
            done += count
            compared.append(ComparedTable(table.name, source_count, count, f"{checksum:016x}"))
            if source_count != count:
                wrong.append(f"{table.name} has {source_count} rows there and {count} here")
            elif checksum != progress[table.name].checksum:
                wrong.append(f"the rows of {table.name} have other values")
    if wrong:
        raise CopyDiffers(f"the target differs: {', '.join(wrong)}: begin anew with an empty one")
    return compared


def _report(on_rows: OnRows, name: str, before: int, total: int, count: int) -> None:
    on_rows(COMPARING, name, before + count, total)


def _finish(source: Database, target: Database, now: datetime) -> None:
    """Prepare the target for a server: numbers go on after the highest, and the feed of events after the last one."""
    with target.transaction() as session:
        if not target.is_sqlite:
            for table in TABLES:
                _set_sequence(session, table)
            session.execute(sa.text("ANALYZE"))
        recording.raise_feed_base(session)
        audit.note(session, "database", source.shown_url, "copy")
        copy_marks.end(session, now)


def _set_sequence(session: Session, table: sa.Table) -> None:
    """Let PostgreSQL number new rows after those that there are."""
    columns = [column for column in table.primary_key if isinstance(column.type, sa.Integer)]
    if len(columns) != 1:
        return
    names = {"table_name": table.name, "column_name": columns[0].name}
    sequence = session.scalars(_SEQUENCE, names).one()
    highest = session.scalar(sa.select(sa.func.max(columns[0]))) or 0
    if table is plain(HistoryEntry):
        # Entries up to this one count as counted, also where they have been removed since.
        highest = max(highest, session.scalar(sa.select(CountedHistory.history_id)) or 0)
    if sequence is not None and highest:
        session.execute(_SET, {"sequence": sequence, "highest": highest})
