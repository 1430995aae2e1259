"""Looks: single rows, read thousands of times a second, at the cost of the query alone."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

_Compiled = tuple[str, dict[str, Any], list[tuple[str, Any]]]


class Looks:
    """Statements that are compiled once, and connections that wait in a pool of their own.

    A session would cost ten times the query.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._driver_error: type[Exception] = engine.dialect.dbapi.Error  # type: ignore[union-attr]
        self._connections: list[Any] = []
        self._compiled: dict[int, _Compiled] = {}

    def first(self, statement: sa.SelectBase, values: dict[str, Any]) -> tuple[Any, ...] | None:
        """The first row, as the driver gives it; the statement must be a constant of its module."""
        text, given, binders = self.compile(statement)
        bound = {**given, **values}
        for name, bind in binders:
            bound[name] = bind(bound[name])
        try:
            return self._ask(text, bound)
        except self._driver_error:
            # The server may have been restarted since the last look; asking again changes nothing.
            self.close()
            return self._ask(text, bound)

    def compile(self, statement: sa.SelectBase) -> _Compiled:
        """The statement's text, the values it has already, and what turns values into the driver's."""
        found = self._compiled.get(id(statement))
        if found is None:
            dialect = self._engine.dialect
            spelling: Any = type(dialect)
            style = "named" if self._is_sqlite else "pyformat"
            compiled = statement.compile(dialect=spelling(paramstyle=style))
            binders = [
                (name, bind)
                for name in compiled.params
                if (bind := compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            ]
            found = self._compiled[id(statement)] = (str(compiled), compiled.params, binders)
        return found

    def close(self) -> None:
        """Ends the connections."""
        while self._connections:
            self._connections.pop().close()

    def _ask(self, text: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        try:
            connection = self._connections.pop()
        except IndexError:
            connection = self._open()
        row: tuple[Any, ...] | None = connection.execute(text, values).fetchone()
        self._connections.append(connection)
        return row

    def _open(self) -> Any:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        pooled.detach()
        if not self._is_sqlite:
            connection.autocommit = True
        return connection
