"""Reads single rows in no transaction, thousands of times a second, on connections that do nothing else."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy.engine import Engine

from . import statements

# Its statements have an index for all they ask. PostgreSQL knows for a minute only how long the tables were, and its
# other ways then go through queues that have grown since. One plan does for all values: making one takes longer than
# the statement. Set where the connection is ours alone: behind a pooler it would stay for whoever gets it next.
_BY_INDEX = """
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off;
    SET plan_cache_mode = force_generic_plan
"""

Row = tuple[Any, ...]
# What runs a statement on one connection and gives its first row.
Run = Callable[[str, Row], Row | None]
# Which database the path of a file leads to now; see `OpenedFiles.check`.
FindFile = Callable[[], int]


class Reader:
    """A pool of connections, one for each thread that reads at the same time."""

    def __init__(self, engine: Engine, find_file: FindFile = lambda: 0) -> None:
        self._engine = engine
        self._find_file = find_file
        self._driver_error = statements.driver_error(engine.dialect)
        self._connections: list[_OwnConnection] = []

    def first(self, text: str, values: Row) -> Row | None:
        """Return the first row, as the driver gives it."""
        try:
            return self._run(text, values)
        except self._driver_error:
            # The server may have been restarted since the last read; reading again changes nothing.
            self.close()
        try:
            return self._run(text, values)
        except self._driver_error as error:
            raise statements.translated(error, text, self._engine.dialect) from error

    def close(self) -> None:
        """End the connections."""
        with suppress(IndexError):  # other threads take and close some meanwhile
            while True:
                self._connections.pop().close()

    def _run(self, text: str, values: Row) -> Row | None:
        file = self._find_file()
        try:
            connection = self._connections.pop()
            if connection.file != file:
                connection.close()
                self.close()
                raise IndexError
        except IndexError:
            connection = _OwnConnection(self._engine, file)
        try:
            row = connection.run(text, values)
        except self._driver_error:
            connection.close()
            raise
        self._connections.append(connection)
        return row


class _OwnConnection:
    """A connection that is taken out of the engine's pool for good."""

    def __init__(self, engine: Engine, file: int) -> None:
        self.file = file
        pooled = engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        pooled.detach()
        self.close = connection.close
        self.run = _sqlite(connection) if engine.dialect.name == "sqlite" else _psycopg(connection)


def _sqlite(connection: Any) -> Run:
    def run(text: str, values: Row) -> Row | None:
        row: Row | None = connection.execute(text, values).fetchone()
        return row

    return run


def _psycopg(connection: Any) -> Run:
    """Make one cursor for all statements: to make one takes a quarter of the time of a statement."""
    connection.autocommit = True
    # The engine lets nothing be prepared where a pooler answers.
    prepare = connection.prepare_threshold is not None
    if prepare:
        connection.execute(_BY_INDEX)
    cursor = connection.cursor()

    def run(text: str, values: Row) -> Row | None:
        row: Row | None = cursor.execute(text, values, prepare=prepare).fetchone()
        return row

    return run
