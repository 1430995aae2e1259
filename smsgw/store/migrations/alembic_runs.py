"""Runs the migrations with alembic, which is imported only where there is something to do."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from . import MARK, REVISION, UNMARK, BrokenReferences, NewerTables, mismatch

_ADVISORY_LOCK = 0x736D736777  # "smsgw": one migration at a time


def upgrade_sqlite(connection: Connection, revision: str) -> None:
    """Run the migrations with foreign keys off, and check that all references are good afterwards."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    raw.execute("pragma foreign_keys=off")
    raw.execute("pragma busy_timeout=60000")
    try:
        with connection.begin():
            _run(connection, revision)
            broken = connection.exec_driver_sql("pragma foreign_key_check").all()
            if broken:
                raise BrokenReferences(f"the migration would break {len(broken)} references")
    finally:
        connection.invalidate()  # the pragmas go with the connection


def upgrade_postgresql(connection: Connection, revision: str, *, is_restored: bool = False) -> None:
    """Run the migrations when nobody else does; a restored backup is marked before and after."""
    with connection.begin():
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        if is_restored:
            connection.execute(UNMARK)
        _run(connection, revision)
        if is_restored:
            connection.execute(MARK)


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError:
        raise NewerTables(mismatch(connection.scalar(REVISION))) from None


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
