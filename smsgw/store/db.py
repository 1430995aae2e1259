"""The engine, `transaction()` and `reading()`: the only place that begins, commits and rolls back."""

import time
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from . import engines, outages, statements
from .group_commit import GroupCommit
from .inserts import Batch
from .reader import Reader
from .tables import Table, plain
from .together import Together
from .write_lock import WriteLock

CHANNEL = "smsgw"
RING_SECONDS = 0.05


class Database:
    """One database and its pool of connections. Make it after a fork, never before."""

    def __init__(self, url: str, pool_size: int = 20) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._connect_sqlite(pool_size)
        else:
            self._connect_postgresql(pool_size)
        self.reader = Reader(self.engine)
        self._together = Together(self._shared_transaction)
        self._rung_at = 0.0

    def _connect_sqlite(self, pool_size: int) -> None:
        self.engine = engines.sqlite(self.url, pool_size)
        self._readers = self.engine.execution_options(reading=True)
        self._group_commit = GroupCommit(self._own_sqlite, WriteLock(str(self.url.database)))
        self._writers = engines.sqlite_writers(self.url, pool_size, self._group_commit)

    def _own_sqlite(self) -> Any:
        pooled = self.engine.raw_connection()
        connection = pooled.dbapi_connection
        pooled.detach()
        return connection

    def _connect_postgresql(self, pool_size: int) -> None:
        self.engine = self._writers = engines.postgresql(self.url, pool_size)
        self._readers = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One write transaction: commits at the end, rolls back on any exception. After it all is on the disk.

        After one that left work for workers or sockets (`session.info["has_news"]`), PostgreSQL's listeners are told.
        """
        with (
            self._leaving_read_only_servers(),
            Session(self._writers, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
        if session.info.get("has_news") and not self.is_sqlite:
            self._ring()

    def insert_together(self, batches: Sequence[Batch]) -> None:
        """Inserts news in one transaction with what other threads want to insert, and returns after its commit.

        The batches stand in the order they are written in.
        """
        self._together.insert(batches)

    @contextmanager
    def _shared_transaction(self) -> Iterator[Connection]:
        with self._leaving_read_only_servers(), self._writers.begin() as connection:
            yield connection
        if not self.is_sqlite:
            self._ring()

    @contextmanager
    def _leaving_read_only_servers(self) -> Iterator[None]:
        """Ends the connections where the server takes no changes any more: there may be another one that does."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            if outages.is_read_only(error):
                self.reader.close()
                self.engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads. On PostgreSQL each statement sees what is committed by then."""
        with Session(self._readers, expire_on_commit=False, autoflush=False) as session:
            yield session

    def look(self, statement: Any, **values: Any) -> Any:
        """The first row of a statement that is asked thousands of times a second, `None` when there is none."""
        compiled, row = _compiled(self.engine.dialect, statement, ())
        found = self.reader.first(compiled.text, compiled.bind(values))
        return None if found is None else row._make(compiled.read(found))

    def has_tables(self) -> bool:
        """Whether somebody has made the tables."""
        with self._readers.connect() as connection:
            return bool(sa.inspect(connection).get_table_names())

    def _ring(self) -> None:
        """A hint, at most one in 50 ms: the work is in the tables, and who misses the hint finds it a second later."""
        moment = time.monotonic()
        if moment - self._rung_at < RING_SECONDS:
            return
        self._rung_at = moment
        try:
            with self._readers.connect() as connection:
                connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
        except sa.exc.SQLAlchemyError as error:
            outages.log.note(error)

    def close(self) -> None:
        """Ends all connections."""
        self.reader.close()
        if self.is_sqlite:
            self._group_commit.close()
            self._writers.dispose()
        self.engine.dispose()


def is_postgresql(session: Session) -> bool:
    """Whether this session talks to PostgreSQL (SQLite otherwise)."""
    return session.get_bind().dialect.name == "postgresql"


# For modules that have no queries yet.
def run(session: Session, statement: Any, values: Mapping[str, Any]) -> list[Any]:
    """Runs a constant statement of a module; returns its rows, with their columns as attributes."""
    connection = session.connection()
    names = tuple(name for name, value in values.items() if isinstance(value, list))
    shape = statements.lengths(values, names)
    compiled, row = _compiled(connection.dialect, statement, shape)
    values = {name: values[name] for name in compiled.required}
    found = statements.execute(
        connection, compiled.text, compiled.bind(values), gives_rows=row is not None
    )
    return [row._make(compiled.read(one)) for one in found]


def run_many(session: Session, statement: sa.UpdateBase, rows: Sequence[Mapping[str, Any]]) -> None:
    """Runs a constant statement for each of these values, none of which is a list."""
    if rows:
        connection = session.connection()
        compiled, _ = _compiled(connection.dialect, statement, ())
        statements.execute(connection, compiled.text, [compiled.bind(one) for one in rows])


def insert(session: Session, table: type[Table], rows: Sequence[dict[str, Any]]) -> None:
    """Inserts the rows, all with the same keys, which are the columns' names in the database."""
    if rows:
        session.connection().execute(sa.insert(plain(table)), rows)


@lru_cache(maxsize=512)
def _compiled(dialect: Any, statement: Any, shape: Any) -> Any:
    names = [str(column.key) for column in statements.columns_of(statement)]
    row = namedtuple("Found", names, rename=True) if names else None
    return statements.compile_for(dialect, statement, shape), row
