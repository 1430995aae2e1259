"""Begins, commits and rolls back, by `transaction()` and `reading()`: nobody else does but the session it opens."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from . import audit, engines, outages, statements
from .audit import SERVER, Actor, FindActor
from .group_commit import GroupCommit
from .inserts import RowBatch
from .kept_connection import KeptConnection
from .members import Member
from .opened_files import OpenedFiles
from .reader import Reader
from .sessions import WriteSession, dialect_of
from .shared_inserts import Check, SharedInserts
from .statements import DriverConnection
from .write_lock import WriteLock

__all__ = [
    "CHANNEL",
    "NOTIFY_SECONDS",
    "Actor",
    "Database",
    "Session",
    "is_postgresql",
    "wake_up",
]

CHANNEL = "smsgw"
NOTIFY_SECONDS = 0.05
# Alembic's; it is made together with the others.
REVISION_TABLE = "alembic_version"
_SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
# The key in `Session.info` that `wake_up` sets.
_WAKES_UP = "wakes_up"


class Database:
    """One database and its pool of connections. Make it after a fork, never before.

    `find_actor` is asked who makes a change that is audited; by default it is the server itself.
    """

    def __init__(
        self, url: str, pool_size: int = 20, find_actor: FindActor = lambda: SERVER
    ) -> None:
        self.find_actor = find_actor
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._connect_sqlite(pool_size)
        else:
            self._connect_postgresql(pool_size)
        self._shared_inserts = SharedInserts(self._shared_transaction)
        self._notified_at = 0.0

    @property
    def shown_url(self) -> str:
        """Return the URL without the password."""
        hidden = {name: "***" for name in self.url.query if "password" in name}
        return self.url.update_query_dict(hidden).render_as_string(hide_password=True)

    def _connect_sqlite(self, pool_size: int) -> None:
        path = str(self.url.database)
        self.files = files = OpenedFiles(path)
        self.engine = engines.sqlite(self.url, pool_size, files)
        self.reader = Reader(self.engine, files.check)
        self._readers = self.engine.execution_options(reading=True)
        self._write_lock = WriteLock(path)
        self._group_commit = GroupCommit(self._own_sqlite, self._write_lock, files)
        self._writers = engines.sqlite_writers(self.url, pool_size, self._group_commit)

    def _own_sqlite(self) -> Any:
        pooled = self.engine.raw_connection()
        connection = pooled.dbapi_connection
        pooled.detach()
        return connection

    def _connect_postgresql(self, pool_size: int) -> None:
        self.engine = self._writers = engines.postgresql(self.url, pool_size)
        self._servers = engines.Servers(self.engine)
        self._kept_writer = KeptConnection(self.engine, self._servers.refuse)
        self.reader = Reader(self.engine)
        self._readers = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a write transaction: it commits at the end and rolls back on any exception. After it all is on the disk.

        After a transaction that left work for workers or sockets (`wake_up`), PostgreSQL's listeners are notified.
        """
        with self._leaving_read_only_servers(), WriteSession(self._writers) as session:
            try:
                yield session
                audit.write(session, self.find_actor)
                session.commit()
            finally:
                # After the commit there is nothing to roll back.
                session.rollback()
        if session.info.get(_WAKES_UP) and not self.is_sqlite:
            self._notify()

    def insert_together(self, batches: Sequence[RowBatch], check: Check | None = None) -> None:
        """Insert rows in one transaction with those of other threads, and return after its commit.

        The batches stand in the order they are written in. Raises what the check gives where it refuses them.
        """
        self._shared_inserts.insert(batches, check)

    def _shared_transaction(self) -> AbstractContextManager[DriverConnection]:
        return self._on_sqlite() if self.is_sqlite else self._on_postgresql()

    @contextmanager
    def _on_sqlite(self) -> Iterator[DriverConnection]:
        """Begin a transaction that SQLAlchemy has no part in."""
        dialect = self.engine.dialect
        with statements.translating(dialect), closing(Member(self._group_commit)) as member:
            member.begin()
            yield DriverConnection(member, dialect)
            member.commit()

    @contextmanager
    def _on_postgresql(self) -> Iterator[DriverConnection]:
        """Do the same with a connection that is kept, and ended where anything goes wrong."""
        dialect = self.engine.dialect
        with (
            self._leaving_read_only_servers(),
            statements.translating(dialect),
            self._kept_writer.lent() as connection,
        ):
            yield DriverConnection(connection, dialect)
            connection.driver.commit()
        self._notify()

    @contextmanager
    def _leaving_read_only_servers(self) -> Iterator[None]:
        """Connect anew where the server takes no changes any more: another server may take them."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            if outages.is_read_only(error):
                self.reader.close()
                self._servers.leave()
            raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only reads. On PostgreSQL each statement sees what is committed by then."""
        with Session(self._readers, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and sees one state of the database all the time."""
        options = {"reading": True} if self.is_sqlite else _SNAPSHOT
        with self.engine.execution_options(**options).connect() as connection, connection.begin():
            yield connection

    def create(self) -> None:
        """Make SQLite's file where there is none; nothing else does. A database of PostgreSQL is there already."""
        if self.is_sqlite:
            self.files.create()

    def has_tables(self) -> bool:
        """Return whether the tables exist."""
        with self._readers.connect() as connection:
            # Not a list of all tables, for which a process reads and makes 4 MiB.
            return sa.inspect(connection).has_table(REVISION_TABLE)

    def _notify(self) -> None:
        """Notify listeners, at most once in 50 ms; a listener that misses it finds the work a second later."""
        moment = time.monotonic()
        if moment - self._notified_at < NOTIFY_SECONDS:
            return
        self._notified_at = moment
        try:
            with self._readers.connect() as connection:
                connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
        except outages.DatabaseError as error:
            outages.log.note(error)

    def close(self) -> None:
        """End all connections."""
        self.reader.close()
        if self.is_sqlite:
            self._group_commit.close()
            self._write_lock.close()
            self._writers.dispose()
        else:
            self._kept_writer.close()
        self.engine.dispose()


def wake_up(session: Session) -> None:
    """Have workers and sockets notified after this transaction's commit: it writes something they wait for."""
    session.info[_WAKES_UP] = True


def is_postgresql(session: Session) -> bool:
    """Return whether this session talks to PostgreSQL (SQLite otherwise)."""
    return dialect_of(session).name == "postgresql"
