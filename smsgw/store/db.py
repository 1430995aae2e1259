"""The engine, `transaction()` and `reading()`: the only place that begins, commits and rolls back."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from . import engines, insertions, statements
from .group_commit import GroupCommit
from .looks import Looks
from .statements import Constant, Rows, Values
from .tables import Table, plain
from .together import Together
from .write_lock import WriteLock

CHANNEL = "smsgw"
RING_SECONDS = 0.05

log = logging.getLogger(__name__)


class Database:
    """One database and its pool of connections. Make it after a fork, never before."""

    def __init__(self, url: str, pool_size: int = 20) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._connect_sqlite(pool_size)
        else:
            self._connect_postgresql(pool_size)
        self._looks = Looks(self.engine)
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
        with Session(self._writers, expire_on_commit=False) as session, session.begin():
            yield session
        if session.info.get("has_news") and not self.is_sqlite:
            self._ring()

    def insert_together(self, rows: Mapping[type[Table], Sequence[dict[str, Any]]]) -> None:
        """Inserts news in one transaction with what other threads want to insert, and returns after its commit.

        Tables in the order they are written in; the rows of each as for `insert`.
        """
        self._together.insert({plain(table): some for table, some in rows.items()})

    @contextmanager
    def _shared_transaction(self) -> Iterator[Connection]:
        with self._writers.begin() as connection:
            yield connection
        if not self.is_sqlite:
            self._ring()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads. On PostgreSQL each statement sees what is committed by then."""
        with Session(self._readers, expire_on_commit=False, autoflush=False) as session:
            yield session

    def look(self, statement: sa.SelectBase, **values: Any) -> tuple[Any, ...] | None:
        """The first row of a statement that is asked thousands of times a second, `None` when there is none."""
        return self._looks.first(statement, values)

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
            log.warning("nobody could be told of new work: %s", type(error).__name__)

    def close(self) -> None:
        """Ends all connections."""
        self._looks.close()
        if self.is_sqlite:
            self._group_commit.close()
            self._writers.dispose()
        self.engine.dispose()


def is_postgresql(session: Session) -> bool:
    """Whether this session talks to PostgreSQL (SQLite otherwise)."""
    return session.get_bind().dialect.name == "postgresql"


def run(session: Session, statement: Constant, values: Values) -> Rows:
    """Runs a constant statement of a module; returns its rows, with their columns as attributes.

    Values that are lists are for `IN`. Nothing that the session has not written yet is seen.
    """
    return statements.run(session.connection(), statement, values)


def run_many(session: Session, statement: sa.UpdateBase, rows: Sequence[Values]) -> None:
    """Runs a constant statement for each of these values, none of which is a list."""
    if rows:
        statements.run_many(session.connection(), statement, rows)


def insert(session: Session, table: type[Table], rows: Sequence[dict[str, Any]]) -> None:
    """Inserts the rows, all with the same keys, which are the columns' names in the database."""
    if rows:
        connection = session.connection()
        insertion = insertions.plain(connection.dialect, plain(table), tuple(rows[0]))
        statements.call(connection, insertion.text, [insertion.values(row) for row in rows])


def insert_new(
    session: Session,
    table: type[Table],
    rows: Sequence[dict[str, Any]],
    returning: Any,
    conflict_on: Sequence[str],
) -> list[Any]:
    """Inserts the rows that are new by the unique columns `conflict_on` and leaves the others out.

    Returns the `returning` column of the rows that went in. On PostgreSQL it waits for a transaction that is
    inserting the same row, and then leaves ours out or, when that one rolled back, puts it in.
    """
    if not rows:
        return []
    connection = session.connection()
    insertion = insertions.of_new(
        connection.dialect, plain(table), tuple(rows[0]), returning.name, tuple(conflict_on)
    )
    return [
        value
        for text, values in insertion.at_once(rows)
        for (value,) in statements.call(connection, text, values, gives_rows=True)
    ]
