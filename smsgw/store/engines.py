"""Engines: how each database is reached, and what makes its connections fit for use."""

import select
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from . import wal


def sqlite(url: URL, pool_size: int) -> Engine:
    """For a database in a file, made where there is none yet. Whoever makes the engine begins its transactions."""
    _keep_private(Path(str(url.database)))
    engine = sa.create_engine(url, **_pool(pool_size))
    sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def postgresql(url: URL, pool_size: int) -> Engine:
    """For a database of a server. Connections that the server has ended are made anew before they are used."""
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), **_pool(pool_size))
    sa.event.listen(engine, "checkout", _refuse_dead)
    return engine


def _pool(size: int) -> dict[str, Any]:
    # The connection that was used last is used next: what it has in its memory is of use, and the others need none.
    return {
        "pool_size": size,
        "max_overflow": 10,
        "pool_use_lifo": True,
        "hide_parameters": True,
    }


def _keep_private(path: Path) -> None:
    """Makes the file before SQLite does, for its owner alone: it holds what people wrote, and webhook secrets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)


def _prepare_sqlite(dbapi: Any, _record: object) -> None:
    # pysqlite's own transactions begin after the first SELECT, which loses updates: we begin them ourselves.
    dbapi.isolation_level = None
    # The patience first: switching to the log already needs it where several processes meet a new file.
    dbapi.execute("pragma busy_timeout=15000")
    wal.prepare(dbapi)
    dbapi.execute("pragma foreign_keys=on")


def _refuse_dead(dbapi: Any, _record: object, _proxy: object) -> None:
    """Has a connection made anew that the server has ended: then there is something to read, while it should be idle.

    To ask the server each time would cost as much as a statement.
    """
    line = select.poll()
    if not dbapi.closed:
        line.register(dbapi.fileno(), select.POLLIN)
    if dbapi.closed or line.poll(0):
        raise sa.exc.DisconnectionError("the server has ended this connection")
