"""Makes the engines that reach each database, and prepares their connections."""

import math
import select
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from .group_commit import GroupCommit
from .members import Member
from .number_hashes import number_hash
from .opened_files import OpenedFiles
from .poolers import is_pooled

# How often psycopg runs a statement before it prepares it, and PostgreSQL keeps its plan: less than its default of 5.
PREPARED_AFTER = 1
LEAVE_SECONDS = 1.0
# What a URL need not name: a machine that is down does not answer, and pg_stat_activity shows who is connected.
DEFAULTS = {
    "connect_timeout": "5",
    "tcp_user_timeout": "20000",
    "fallback_application_name": "smsgw",
}


def sqlite(url: URL, pool_size: int, files: OpenedFiles) -> Engine:
    """Make an engine for a database in a file. Its transactions write, unless `reading` is an option."""

    def begin(connection: Connection) -> None:
        with _errors_of_begin():
            files.check()
            _begin_sqlite(connection)

    def note_file(_dbapi: Any, record: Any) -> None:
        record.info["file"] = files.check()

    def refuse_other_file(_dbapi: Any, record: Any, _proxy: object) -> None:
        if record.info["file"] != files.check():
            raise sa.exc.DisconnectionError("there is another file")

    engine = sa.create_engine(url, **_pool(pool_size))
    sa.event.listen(engine, "do_connect", lambda _dialect, _record, *given: files.connect(*given))
    sa.event.listen(engine, "checkout", refuse_other_file)
    sa.event.listen(engine, "connect", note_file)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "first_connect", _sync_log)
    sa.event.listen(engine, "begin", begin)
    return engine


def sqlite_writers(url: URL, pool_size: int, group_commit: GroupCommit) -> Engine:
    """Make an engine for the same file whose transactions are committed in groups."""
    engine = sa.create_engine(url, creator=lambda: Member(group_commit), **_pool(pool_size))
    sa.event.listen(engine, "begin", _begin_member)
    return engine


def postgresql(url: URL, pool_size: int) -> Engine:
    """Make an engine for a server's database; connections that the server has ended are made anew before use."""
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={**_defaults(url), "prepare_threshold": None},
        poolclass=_ServerPool,
        **_pool(pool_size),
    )
    sa.event.listen(engine, "connect", _prepare_postgresql)
    sa.event.listen(engine, "checkout", _refuse_dead)
    return engine


class _ServerPool(sa.pool.QueuePool):
    """A pool that reports a server that ends each new connection at once as an outage, not as a misuse."""

    # Its log lines stay SQLAlchemy's, which are shown from WARNING on.
    __module__ = sa.pool.__name__

    def connect(self) -> sa.pool.PoolProxiedConnection:
        try:
            return super().connect()
        except sa.exc.InvalidRequestError as error:
            raise sa.exc.DisconnectionError(str(error)) from error


class Servers:
    """The servers that connections lead to, which are no longer good when another server may take changes."""

    def __init__(self, engine: Engine) -> None:
        self._left_at = -math.inf
        sa.event.listen(engine, "connect", self._note)
        sa.event.listen(engine, "checkout", self._refuse_left)

    def leave(self) -> None:
        """Renew each connection before its next use, at most once a second.

        A connection is ended where another takes its place, so that there are never more than the pool holds.
        """
        moment = time.monotonic()
        if moment >= self._left_at + LEAVE_SECONDS:
            self._left_at = moment

    def refuse(self, pooled: sa.pool.PoolProxiedConnection) -> None:
        """Raise `DisconnectionError` for a connection whose server has ended it, or is one that was left."""
        _refuse_dead(pooled.dbapi_connection)
        self._refuse_left_since(pooled.info)

    def _note(self, _dbapi: Any, record: Any) -> None:
        record.info["made_at"] = time.monotonic()

    def _refuse_left(self, _dbapi: Any, record: Any, _proxy: object) -> None:
        self._refuse_left_since(record.info)

    def _refuse_left_since(self, info: Any) -> None:
        if info["made_at"] <= self._left_at:
            raise sa.exc.DisconnectionError("there may be a server that takes changes")


def postgresql_options(engine: Engine) -> dict[str, Any]:
    """Return the options with which psycopg connects to the same database outside of the engine."""
    _, options = engine.dialect.create_connect_args(engine.url)
    return {**_defaults(engine.url), **options}


def _defaults(url: URL) -> dict[str, str]:
    return {name: value for name, value in DEFAULTS.items() if name not in url.query}


def _pool(size: int) -> dict[str, Any]:
    # The connection that was used last is used next, because its caches are warm, and the others need no memory.
    return {
        "pool_size": size,
        "max_overflow": 10,
        "pool_use_lifo": True,
        "hide_parameters": True,
    }


def _prepare_sqlite(dbapi: Any, _record: object) -> None:
    # pysqlite's own transactions begin after the first SELECT, which loses updates: we begin them ourselves.
    dbapi.isolation_level = None
    # The patience first: switching to the log already needs it where several processes meet a new file.
    dbapi.execute("pragma busy_timeout=15000")
    dbapi.execute("pragma journal_mode=wal")
    # A commit is on the disk before anybody sees it: SQLite syncs the log, and then moves the end that readers go by.
    dbapi.execute("pragma synchronous=full")
    dbapi.execute("pragma foreign_keys=on")
    dbapi.create_function("number_hash", 1, number_hash, deterministic=True)


def _sync_log(dbapi: Any, _record: object) -> None:
    # The log may have commits of a killed process that nobody has seen and that are not on the disk yet.
    dbapi.execute("pragma wal_checkpoint(passive)")


def _begin_sqlite(connection: Connection) -> None:
    # SQLAlchemy's own way of saying this takes longer than SQLite's of doing it.
    driver: Any = connection.connection.dbapi_connection
    is_reading = connection.get_execution_options().get("reading")
    driver.execute("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def _begin_member(connection: Connection) -> None:
    driver: Any = connection.connection.dbapi_connection
    with _errors_of_begin():
        driver.begin()


@contextmanager
def _errors_of_begin() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise sa.exc.OperationalError("BEGIN", None, error) from error


def _prepare_postgresql(dbapi: Any, _record: object) -> None:
    if is_pooled(dbapi):
        return
    dbapi.prepare_threshold = PREPARED_AFTER
    dbapi.autocommit = True
    # To plan the statement that takes from the queue takes longer than to run it, and PostgreSQL would do so each time.
    dbapi.execute("SET plan_cache_mode = force_generic_plan")
    dbapi.autocommit = False


def _refuse_dead(dbapi: Any, *_record_and_proxy: object) -> None:
    """Renew a connection that the server has ended: there is something to read then, while it should be idle.

    To ask the server each time would cost as much as a statement.
    """
    line = select.poll()
    if not dbapi.closed:
        line.register(dbapi.fileno(), select.POLLIN)
    if dbapi.closed or line.poll(0):
        raise sa.exc.DisconnectionError("the server has ended this connection")
