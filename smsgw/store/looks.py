"""Looks: single rows, read thousands of times a second, at the cost of the query alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from sqlalchemy.engine import Dialect, Engine

Row = tuple[Any, ...]
Binders = dict[str, Callable[[Any], Any]]


@dataclass(frozen=True)
class Look:
    """A statement in a driver's words: the order of its values, those it has already, and how to write others."""

    text: str
    names: Sequence[str]
    given: dict[str, Any]
    binders: Binders

    def bind(self, values: dict[str, Any]) -> dict[str, Any]:
        """All values as the driver takes them."""
        bound = dict(self.given)
        for name, value in values.items():
            bind = self.binders.get(name)
            bound[name] = bind(value) if bind else value
        return bound


class Looks:
    """Statements that are compiled once, and connections that wait in a pool of their own.

    A session would cost ten times the query.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kind = _Sqlite if engine.dialect.name == "sqlite" else _Postgresql
        self._driver_error: type[Exception] = engine.dialect.dbapi.Error  # type: ignore[union-attr]
        self._connections: list[_Sqlite | _Postgresql] = []
        self._compiled: dict[int, Look] = {}

    def first(self, statement: sa.SelectBase, values: dict[str, Any]) -> Row | None:
        """The first row, as the driver gives it; the statement must be a constant of its module."""
        look = self._compiled.get(id(statement))
        if look is None:
            look = self._compiled[id(statement)] = self.compile(statement)
        bound = look.bind(values)
        try:
            return self._ask(look, bound)
        except self._driver_error:
            # The server may have been restarted since the last look; asking again changes nothing.
            self.close()
            return self._ask(look, bound)

    def compile(self, statement: sa.SelectBase) -> Look:
        """The statement in the words of the database's driver."""
        return self._kind.compile(statement, self._engine.dialect)

    def close(self) -> None:
        """Ends the connections."""
        while self._connections:
            self._connections.pop().close()

    def _ask(self, look: Look, bound: dict[str, Any]) -> Row | None:
        try:
            connection = self._connections.pop()
        except IndexError:
            connection = self._open()
        row = connection.ask(look, bound)
        self._connections.append(connection)
        return row

    def _open(self) -> "_Sqlite | _Postgresql":
        pooled = self._engine.raw_connection()
        connection = pooled.dbapi_connection
        pooled.detach()
        return self._kind(connection)


class _Sqlite:
    """A connection to SQLite, which takes values by name."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.close = connection.close

    @staticmethod
    def compile(statement: sa.SelectBase, dialect: Dialect) -> Look:
        spelling: Any = type(dialect)
        compiled = statement.compile(dialect=spelling(paramstyle="named"))
        binders: Binders = {
            name: bind
            for name in compiled.params
            if (bind := compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
        }
        return Look(str(compiled), (), _written(compiled.params, binders), binders)

    def ask(self, look: Look, bound: dict[str, Any]) -> Row | None:
        row: Row | None = self._connection.execute(look.text, bound).fetchone()
        return row


class _Postgresql:
    """A connection to PostgreSQL by libpq itself: a cursor of psycopg costs twice the way to the server and back."""

    def __init__(self, connection: Any) -> None:
        self._pq = connection.pgconn
        self._reader = Transformer(connection)
        self._prepared: dict[str, bytes] = {}
        self.close = connection.close
        connection.autocommit = True

    @staticmethod
    def compile(statement: sa.SelectBase, dialect: Dialect) -> Look:
        spelling: Any = type(dialect)
        compiled: Any = statement.compile(dialect=spelling(paramstyle="numeric_dollar"))
        binders: Binders = dict.fromkeys(compiled.params, _as_bytes)
        given = _written(compiled.params, binders)
        return Look(str(compiled), tuple(compiled.positiontup), given, binders)

    def ask(self, look: Look, bound: dict[str, Any]) -> Row | None:
        name = self._prepared.get(look.text) or self._prepare(look.text)
        result = self._pq.exec_prepared(name, [bound[name] for name in look.names])
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


def _written(values: dict[str, Any], binders: Binders) -> dict[str, Any]:
    return {name: binders[name](v) if name in binders else v for name, v in values.items()}
