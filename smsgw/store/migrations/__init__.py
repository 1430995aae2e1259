"""Brings any database to the newest tables with Alembic's migrations."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from ...errors import GatewayError
from ..db import Database

_ADVISORY_LOCK = 0x736D736777  # "smsgw": one migration at a time


class BrokenReferences(GatewayError):
    """A migration left rows that refer to nothing; it was rolled back."""

    code = "broken_references"


class NewerTables(GatewayError):
    """A newer version of the program has made these tables."""

    code = "newer_tables"


def upgrade(database: Database, revision: str = "head") -> str:
    """Bring the tables to `revision` in one transaction and return the revision that is in force then.

    Safe when several processes start at once: one works, the others wait and find nothing to do. On SQLite
    foreign keys are off meanwhile, because a rebuilt table would otherwise cascade into its children. Raises
    `NewerTables`.
    """
    with database.engine.connect() as connection:
        if database.is_sqlite:
            _upgrade_sqlite(connection, revision)
        else:
            _upgrade_postgresql(connection, revision)
    return current(database) or ""


def current(database: Database) -> str | None:
    """Return the revision the database is at, `None` when it is new."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """Return the newest revision there is."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _upgrade_sqlite(connection: Connection, revision: str) -> None:
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


def _upgrade_postgresql(connection: Connection, revision: str) -> None:
    with connection.begin():
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        _run(connection, revision)


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise NewerTables(f"the database is newer than this version: {error}") from None


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
