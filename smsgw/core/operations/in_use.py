"""Finds out whether other programs have a database open, as a running server has."""

import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ...errors import Conflict
from ...store import sqlite_files
from ...store.db import Database

_OTHERS = sa.text(
    "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'"
)
# Within a transaction PostgreSQL shows who was connected when it was first asked.
_LOOK_AGAIN = sa.text("SELECT pg_stat_clear_snapshot()")
# A process of PostgreSQL outlives the program that it worked for by a moment.
_PATIENCE_SECONDS = 3.0
_PAUSE_SECONDS = 0.1


def refuse(database: Database) -> None:
    """Raise `Conflict` or `FileUsed` where another program has the database open.

    The caller has no connection open to it.
    """
    if database.is_sqlite:
        sqlite_files.refuse_if_used(Path(str(database.url.database)))
        return
    with database.engine.connect() as connection:
        refuse_others(connection)


def refuse_others(connection: Connection) -> None:
    """Raise `Conflict` where anybody but this connection uses its database of PostgreSQL."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while names := connection.scalars(_OTHERS).all():
        if time.monotonic() > deadline:
            known = ", ".join(name for name in names if name)
            what = f"another program{f' ({known})' if known else ''} is connected to the database"
            raise Conflict(f"{what}: stop all servers and workers first")
        time.sleep(_PAUSE_SECONDS)
        connection.execute(_LOOK_AGAIN)
