"""Looks: single rows, read thousands of times a second, at the cost of the query alone."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from sqlalchemy.engine import Dialect, Engine

from . import statements
from .statements import Spelling

Row = tuple[Any, ...]


class Looks:
    """Statements that are compiled once, and connections that wait in a pool of their own.

    A session would cost ten times the query.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kind = _Sqlite if engine.dialect.name == "sqlite" else _Postgresql
        self._driver_error: type[Exception] = engine.dialect.dbapi.Error  # type: ignore[union-attr]
        self._connections: list[_Sqlite | _Postgresql] = []
        self._spelled: dict[int, Spelling] = {}

    def first(self, statement: sa.SelectBase, values: dict[str, Any]) -> Row | None:
        """The first row, as the driver gives it; the statement must be a constant of its module."""
        spelling = self._spelled.get(id(statement))
        if spelling is None:
            spelling = self._spelled[id(statement)] = self.spell(statement)
        bound = spelling.bind(values)
        try:
            return self._ask(spelling.text, bound)
        except self._driver_error:
            # The server may have been restarted since the last look; asking again changes nothing.
            self.close()
            return self._ask(spelling.text, bound)

    def spell(self, statement: sa.SelectBase) -> Spelling:
        """The statement as these connections take it."""
        return self._kind.spell(statement, self._engine.dialect)

    def close(self) -> None:
        """Ends the connections."""
        while self._connections:
            self._connections.pop().close()

    def _ask(self, text: str, bound: Row) -> Row | None:
        try:
            connection = self._connections.pop()
        except IndexError:
            connection = self._open()
        row = connection.ask(text, bound)
        self._connections.append(connection)
        return row

    def _open(self) -> "_Sqlite | _Postgresql":
        pooled = self._engine.raw_connection()
        connection = pooled.dbapi_connection
        pooled.detach()
        return self._kind(connection)


class _Sqlite:
    """A connection to SQLite."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.close = connection.close

    @staticmethod
    def spell(statement: sa.SelectBase, dialect: Dialect) -> Spelling:
        return statements.spell(dialect, statement)

    def ask(self, text: str, bound: Row) -> Row | None:
        row: Row | None = self._connection.execute(text, bound).fetchone()
        return row


# A look has an index for all it asks. PostgreSQL knows for a minute only how long the tables were, and its other ways
# then go through queues that have grown since. One plan does for all values: making one takes longer than the look.
_BY_INDEX = b"""
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off;
    SET plan_cache_mode = force_generic_plan
"""


class _Postgresql:
    """A connection to PostgreSQL by libpq itself: a cursor of psycopg costs twice the way to the server and back."""

    def __init__(self, connection: Any) -> None:
        self._pq = connection.pgconn
        self._reader = Transformer(connection)
        self._prepared: dict[str, bytes] = {}
        self.close = connection.close
        connection.autocommit = True
        self._pq.exec_(_BY_INDEX)

    @staticmethod
    def spell(statement: sa.SelectBase, dialect: Dialect) -> Spelling:
        spelling = statements.spell(dialect, statement, style="numeric_dollar")
        return replace(
            spelling,
            given={name: _as_bytes(value) for name, value in spelling.given.items()},
            binders={name: _as_bytes for name, _ in spelling.places},
        )

    def ask(self, text: str, bound: Row) -> Row | None:
        name = self._prepared.get(text) or self._prepare(text)
        result = self._pq.exec_prepared(name, bound)
        if result.status != ExecStatus.TUPLES_OK:
            raise error_from_result(result)
        if not result.ntuples:
            return None
        self._reader.set_pgresult(result)
        return self._reader.load_row(0, tuple)

    def _prepare(self, text: str) -> bytes:
        name = b"look%d" % len(self._prepared)
        result = self._pq.prepare(name, text.encode())
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)
        self._prepared[text] = name
        return name


def _as_bytes(value: Any) -> bytes | None:
    return None if value is None else str(value).encode()
