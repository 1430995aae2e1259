"""Rows copied under new ids and inserted by the driver alone: what a request's rows cost without the server."""

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from smsgw import ids
from smsgw.store.db import Database
from smsgw.store.tables import Table

# In the order of their foreign keys; the column is the id that is made anew, or the one the database counts up.
TABLES = {
    "messages": "id",
    "inbox": None,
    "dispatches": "id",
    "history": "id",
    "events": "id",
    "deliveries": "id",
}
COUNTED = {"history": "id", "events": "seq"}

Batch = list[tuple[str, list[tuple[Any, ...]]]]


@dataclass(frozen=True)
class Pattern:
    """The rows one request wrote, as the driver gives them: per table its columns and rows."""

    rows: dict[str, tuple[list[str], list[tuple[Any, ...]]]]
    placeholder: str

    def count(self) -> int:
        """How many rows there are."""
        return sum(len(rows) for _, rows in self.rows.values())

    def copy(self) -> Batch:
        """Statements with the same rows under new ids."""
        new = self._new_ids()
        return [
            (self._statement(table, columns), [self._copied(columns, row, new) for row in rows])
            for table, (columns, rows) in self.rows.items()
        ]

    def _new_ids(self) -> dict[str, str]:
        return {
            row[columns.index(key)]: _new_id(row[columns.index(key)])
            for table, (columns, rows) in self.rows.items()
            if (key := TABLES[table]) is not None and COUNTED.get(table) != key
            for row in rows
        }

    def _statement(self, table: str, columns: list[str]) -> str:
        marks = ", ".join([self.placeholder] * len(columns))
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"

    def _copied(
        self, columns: list[str], row: tuple[Any, ...], new: dict[str, str]
    ) -> tuple[Any, ...]:
        return tuple(
            str(uuid.uuid4()) if name == "inbound_key" and value else new.get(value, value)
            for name, value in zip(columns, row, strict=True)
        )


def _new_id(old: str) -> str:
    return ids.new_message_id().replace("msg", old[:3]) if old[3] == "_" else str(uuid.uuid4())


def keys(database: Database) -> dict[str, set[Any]]:
    """The primary keys there are, by table."""
    with database.reading() as session:
        return {
            name: set(map(tuple, session.execute(sa.select(*_table(name).primary_key.columns))))
            for name in TABLES
        }


def written_since(database: Database, before: dict[str, set[Any]]) -> Pattern:
    """The rows that were not there before."""
    connection = database.engine.raw_connection()
    try:
        return Pattern(
            {name: _new_rows(connection, name, before[name]) for name in TABLES},
            "?" if database.is_sqlite else "%s",
        )
    finally:
        connection.close()


def _new_rows(
    connection: Any, name: str, before: set[Any]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    table = _table(name)
    columns = [column.name for column in table.columns]
    cursor = connection.cursor()
    cursor.execute(f"SELECT {', '.join(columns)} FROM {name}")
    places = [columns.index(column.name) for column in table.primary_key.columns]
    rows = [row for row in cursor if tuple(row[place] for place in places) not in before]
    counted = COUNTED.get(name)
    kept = [place for place, column in enumerate(columns) if column != counted]
    return [columns[place] for place in kept], [tuple(row[p] for p in kept) for row in rows]


def _table(name: str) -> sa.Table:
    return Table.metadata.tables[name]


def insert(database: Database, batches: Sequence[Batch], writers: int) -> float:
    """Inserts each batch in a transaction of its own, as durably as the server does; returns the seconds taken."""
    connections = [database.engine.raw_connection() for _ in range(writers)]
    shares = [batches[number::writers] for number in range(writers)]
    began = time.perf_counter()
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(_insert_all, connections, shares))
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return seconds


def _insert_all(connection: Any, batches: Sequence[Batch]) -> None:
    cursor = connection.cursor()
    for batch in batches:
        cursor.execute("BEGIN")
        for statement, rows in batch:
            if rows:
                cursor.executemany(statement, rows)
        cursor.execute("COMMIT")
