"""Brings any database to the newest tables with Alembic's migrations."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ...errors import GatewayError
from ...lazy_imports import lazy
from ..db import REVISION_TABLE, Database

if TYPE_CHECKING:
    from . import alembic_runs as runs
else:
    runs = lazy(f"{__name__}.alembic_runs")

_VERSIONS = Path(__file__).parent / "versions"
_REVISION = sa.text(f"SELECT version_num FROM {REVISION_TABLE}")


class BrokenReferences(GatewayError):
    """A migration left rows that refer to nothing; it was rolled back."""

    code = "broken_references"


class NewerTables(GatewayError):
    """A newer version of the program has made these tables."""

    code = "newer_tables"


def upgrade(database: Database, revision: str = "head") -> str:
    """Bring the tables to `revision` in one transaction and return the revision that is in force then.

    Makes SQLite's file where there is none.
    Safe when several processes start at once: one works, the others wait and find nothing to do. On SQLite
    foreign keys are off meanwhile, because a rebuilt table would otherwise cascade into its children. Raises
    `NewerTables`. Where there is nothing to do, that needs no alembic, whose import takes longer than all the rest.
    """
    database.create()
    found = current(database)
    if found is not None and found == (head() if revision == "head" else revision):
        return found
    with database.engine.connect() as connection:
        if database.is_sqlite:
            runs.upgrade_sqlite(connection, revision)
        else:
            runs.upgrade_postgresql(connection, revision)
    return current(database) or ""


def current(database: Database) -> str | None:
    """Return the revision the database is at, `None` when it is new."""
    with database.reading() as session:
        if not sa.inspect(session.connection()).has_table(REVISION_TABLE):
            return None
        revision: str | None = session.scalar(_REVISION)
        return revision


def head() -> str:
    """Return the newest revision there is: the number that its file's name begins with."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))
