"""Copies the rows of all tables in batches, each in one transaction, and goes on after the last one that is there."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from ...errors import Conflict
from ...sms import texts
from ...store import table_rows
from ...store.db import Database
from ...store.models import DatabaseCopy, Event
from ...store.table_rows import PlainRow
from ...store.tables import Table, plain
from . import copy_marks

# In an order in which each row comes after those that it refers to; without what marks a copy.
TABLES = [table for table in Table.metadata.sorted_tables if table is not plain(DatabaseCopy)]
MOST_ROWS = 5_000
MOST_BYTES = 4 * 2**20
_CHECKSUM_BYTES = 8
_CHECKSUM_MASK = 2**63 - 1
_FEED_ORDER = ("tx", "seq")
_NUL = "\\x00"
# The stage, the table, the rows done and the rows in all.
OnRows = Callable[[str, str, int, int], None]
COPYING, COMPARING = "Copying", "Comparing"


@dataclass(frozen=True)
class TableProgress:
    """The rows of a table that are in the target: how many, a checksum over them, and the key of the last one.

    `replaced_count` rows had the character NUL, which PostgreSQL does not take.
    """

    count: int = 0
    checksum: int = 0
    last: list[Any] | None = None
    replaced_count: int = 0
    is_done: bool = False


@dataclass
class _Batch:
    rows: list[PlainRow] = field(default_factory=list)
    size: int = 0
    progress: TableProgress = TableProgress()


class RowCopier:
    """Copies rows of one marked database into another. The target's mark has how far it is."""

    def __init__(self, source: Database, target: Database, on_rows: OnRows) -> None:
        self._source = source
        self._target = target
        self._on_rows = on_rows
        with target.reading() as session:
            mark = copy_marks.find(session)
        assert mark is not None
        self._token, self._step = mark.token, mark.step
        self.progress = {name: TableProgress(**found) for name, found in mark.progress.items()}

    def run(self) -> None:
        """Copy what is not there yet."""
        with self._source.snapshot() as connection:
            with table_rows.errors_of("the source"):
                total = sum(table_rows.count(connection, table) for table in TABLES)
            for table in TABLES:
                if not self._of(table).is_done:
                    self._copy(connection, table, total)

    def _of(self, table: sa.Table) -> TableProgress:
        return self.progress.get(table.name, TableProgress())

    def _copy(self, connection: Connection, table: sa.Table, total: int) -> None:
        self._report(table, total)
        for batch in self._batches(connection, table):
            self._write(table, batch)
            self._report(table, total)
        self._write(table, _Batch(progress=replace(self._of(table), is_done=True)))

    def _report(self, table: sa.Table, total: int) -> None:
        done = sum(found.count for found in self.progress.values())
        self._on_rows(COPYING, table.name, done, total)

    def _batches(self, connection: Connection, table: sa.Table) -> Iterator[_Batch]:
        key, places = self._key(table)
        batch = _Batch(progress=self._of(table))
        with table_rows.errors_of("the source"):
            rows = table_rows.read(connection, table, key, batch.progress.last)
        while (row := _next(rows)) is not None:
            self._add(batch, table, row, places)
            if len(batch.rows) >= MOST_ROWS or batch.size >= MOST_BYTES:
                yield batch
                batch = _Batch(progress=batch.progress)
        if batch.rows:
            yield batch

    def _key(self, table: sa.Table) -> tuple[Sequence[str], list[int]]:
        """Return the columns that order the rows, and their places."""
        is_feed = table is plain(Event) and self._target.is_sqlite
        key = _FEED_ORDER if is_feed else [column.name for column in table.primary_key]
        return key, [table_rows.place_of(table, name) for name in key]

    def _add(self, batch: _Batch, table: sa.Table, row: PlainRow, places: Sequence[int]) -> None:
        before = batch.progress
        last = [row[place] for place in places]
        if table is plain(Event) and self._target.is_sqlite:
            row = _renumbered(table, row, before.count + 1)
        text, replaced_count = repr(row), before.replaced_count
        if _NUL in text and not self._target.is_sqlite:
            new = tuple(texts.storable(it) if isinstance(it, str) else it for it in row)
            replaced_count += new != row
            row, text = new, repr(new)
        checksum = _added(before.checksum, text)
        batch.progress = TableProgress(before.count + 1, checksum, last, replaced_count)
        batch.rows.append(row)
        batch.size += len(text)

    def _write(self, table: sa.Table, batch: _Batch) -> None:
        progress = {**self.progress, table.name: batch.progress}
        with table_rows.errors_of("the target"), self._target.transaction() as session:
            self._advance(session, progress)
            if batch.rows:
                table_rows.write(session.connection(), table, batch.rows)
        self.progress = progress
        self._step += 1

    def _advance(self, session: Session, progress: dict[str, TableProgress]) -> None:
        """Write down how far the copy is with this batch; raise `Conflict` where another one has gone on meanwhile."""
        mark = plain(DatabaseCopy).c
        changed = session.execute(
            sa.update(plain(DatabaseCopy))
            .where(mark.token == self._token, mark.step == self._step)
            .where(mark.role == copy_marks.TARGET, mark.ended_at.is_(None))
            .values(
                step=self._step + 1,
                progress={name: asdict(found) for name, found in progress.items()},
            )
            .returning(mark.id)
        )
        if not changed.all():
            raise Conflict("another copy to the same database is running, or has ended")


def checksum_of(rows: Iterator[PlainRow], on_count: Callable[[int], None]) -> tuple[int, int]:
    """Return how many rows there are, and the checksum over them; call `on_count` now and then, and at the end."""
    count = checksum = 0
    for row in rows:
        checksum = _added(checksum, repr(row))
        count += 1
        if not count % MOST_ROWS:
            on_count(count)
    on_count(count)
    return count, checksum


def _next(rows: Iterator[PlainRow]) -> PlainRow | None:
    with table_rows.errors_of("the source"):
        return next(rows, None)


def _added(checksum: int, text: str) -> int:
    """Return the checksum with one more row, which is the same in whatever order they come."""
    digest = hashlib.blake2b(text.encode(), digest_size=_CHECKSUM_BYTES).digest()
    return (checksum + int.from_bytes(digest, "big")) & _CHECKSUM_MASK


def _renumbered(table: sa.Table, row: PlainRow, number: int) -> PlainRow:
    """Give an event its place in the feed of SQLite, which has one writer at a time and so no transactions' numbers."""
    new = {table_rows.place_of(table, "tx"): 0, table_rows.place_of(table, "seq"): number}
    return tuple(new.get(place, value) for place, value in enumerate(row))
