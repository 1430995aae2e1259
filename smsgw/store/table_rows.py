"""Reads whole tables as rows of plain values, the same ones from both databases, and writes such rows."""

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import GatewayError
from ..lazy_imports import is_loaded, lazy
from . import outages
from .tables import UtcMoment

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = lazy("psycopg")

# Text, whole numbers, floats and None. Moments are text as SQLite keeps it, JSON is its text, a Boolean is 0 or 1.
PlainRow = tuple[Any, ...]
_AT_ONCE = 500
_MOMENT_LENGTH = len("2026-03-01 12:00:00.000000")
_CACHE_KIB = 65_536
# A role or database may have other settings.
_POSTGRESQL_SETTINGS = (
    "SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1; SET LOCAL statement_timeout = 0;"
    "SET LOCAL idle_in_transaction_session_timeout = 0"
)
_PLACE = re.compile(r"line (?P<line>\d+)(?:, column (?P<column>\w+))?")


class RowsFailed(GatewayError):
    """A database cannot be read or written, or does not take a row; the message says which, and why."""

    code = "rows_failed"


@contextmanager
def errors_of(name: str) -> Iterator[None]:
    """Raise `RowsFailed`, which begins with this name of the database, in place of what its driver raises."""
    try:
        yield
    except _database_errors() as error:
        raise RowsFailed(f"{name}: {outages.reason(error)}") from None


def count(connection: Connection, table: sa.Table) -> int:
    """Return how many rows the table has."""
    return connection.scalars(sa.select(sa.func.count()).select_from(table)).one()


def read(
    connection: Connection,
    table: sa.Table,
    key: Sequence[str] = (),
    after: Sequence[Any] | None = None,
) -> Iterator[PlainRow]:
    """Yield the rows in the order of the columns of `key`, those after these values of them, as they come.

    On PostgreSQL there must be a transaction.
    """
    quote = connection.dialect.identifier_preparer.quote
    of_key = ", ".join(map(quote, key))
    rest = f"({of_key}) > ({_marks(connection, key)})" if after is not None else ""
    source = quote(table.name) + (f" WHERE {rest}" if rest else "")
    source += f" ORDER BY {of_key}" if key else ""
    if connection.dialect.name == "sqlite":
        return _read_sqlite(connection, table, source, after)
    return _read_postgresql(connection, table, source, after)


def write(connection: Connection, table: sa.Table, rows: Collection[PlainRow]) -> None:
    """Insert the rows in this transaction; raise `RowsFailed` with the key of a row that the database does not take."""
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(column.name) for column in table.columns)
    target = f"{quote(table.name)} ({names})"
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"pragma cache_size = -{_CACHE_KIB}")
        marks = _marks(connection, table.columns.keys())
        driver.cursor().executemany(f"INSERT INTO {target} VALUES ({marks})", rows)
        return
    with driver.cursor() as cursor:
        cursor.execute(_POSTGRESQL_SETTINGS)
        try:
            with cursor.copy(f"COPY {target} FROM STDIN") as copying:
                for row in rows:
                    copying.write_row(row)
        except psycopg.DataError as error:
            raise RowsFailed(_refused(error, table, list(rows))) from None


def place_of(table: sa.Table, name: str) -> int:
    """Return which value of a row is that of this column."""
    return table.columns.keys().index(name)


def _database_errors() -> tuple[type[Exception], ...]:
    found = (outages.DatabaseError, sqlite3.Error)
    return (*found, psycopg.Error) if is_loaded("psycopg") else found


def _marks(connection: Connection, columns: Sequence[str]) -> str:
    return ", ".join(["?" if connection.dialect.name == "sqlite" else "%s"] * len(columns))


def _read_sqlite(
    connection: Connection, table: sa.Table, source: str, after: Sequence[Any] | None
) -> Iterator[PlainRow]:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(column.name) for column in table.columns)
    moments = [
        place for place, column in enumerate(table.columns) if isinstance(column.type, UtcMoment)
    ]
    driver: Any = connection.connection.dbapi_connection
    cursor = driver.execute(f"SELECT {names} FROM {source}", tuple(after or ()))
    while rows := cursor.fetchmany(_AT_ONCE):
        for row in rows:
            # Other programs' moments may have no fraction of a second.
            if any(row[place] and len(row[place]) != _MOMENT_LENGTH for place in moments):
                row = _with_whole_moments(row, moments)
            yield row


def _with_whole_moments(row: PlainRow, moments: Collection[int]) -> PlainRow:
    return tuple(
        datetime.fromisoformat(value).isoformat(" ", "microseconds")
        if value and place in moments
        else value
        for place, value in enumerate(row)
    )


def _read_postgresql(
    connection: Connection, table: sa.Table, source: str, after: Sequence[Any] | None
) -> Iterator[PlainRow]:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(_as_plain(quote(column.name), column.type) for column in table.columns)
    readers = [(place, read) for place, read in enumerate(map(_reader, table.columns)) if read]
    driver: Any = connection.connection.dbapi_connection
    with driver.cursor() as cursor:
        cursor.execute(_POSTGRESQL_SETTINGS)
        statement = f"COPY (SELECT {names} FROM {source}) TO STDOUT"
        with cursor.copy(statement, after) as copying:
            for texts in copying.rows():
                values = list(texts)
                for place, read_one in readers:
                    if values[place] is not None:
                        values[place] = read_one(values[place])
                yield tuple(values)


def _as_plain(column: str, kind: sa.types.TypeEngine[Any]) -> str:
    if isinstance(kind, UtcMoment):
        return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"{column}::int" if isinstance(kind, sa.Boolean) else column


def _reader(column: sa.Column[Any]) -> Callable[[str], Any] | None:
    if isinstance(column.type, sa.Float):
        return float
    return int if isinstance(column.type, sa.Integer | sa.Boolean) else None


def _refused(error: "psycopg.Error", table: sa.Table, rows: Sequence[PlainRow]) -> str:
    """Say which value PostgreSQL does not take, without any text that it shows."""
    found = _PLACE.search(error.diag.context or "")
    why = error.diag.message_primary or type(error).__name__
    if found is None:
        return f"{table.name}: {why}"
    row = rows[int(found["line"]) - 1]
    key = ", ".join(str(row[place_of(table, column.name)]) for column in table.primary_key)
    return f"{table.name} {key}: {found['column'] or 'row'}: {why}"
