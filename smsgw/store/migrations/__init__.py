"""Brings any database to the newest tables with Alembic's migrations."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import program
from ...errors import GatewayError
from ...lazy_imports import lazy
from ..db import REVISION_TABLE, Database

if TYPE_CHECKING:
    from . import alembic_runs as runs
else:
    runs = lazy(f"{__name__}.alembic_runs")

# Begins the revision of a database with a backup in it whose queue is not settled yet: no version of the program knows
# such a revision, so none serves it.
RESTORING = "restoring-"
_VERSIONS = Path(__file__).parent / "versions"
REVISION = sa.text(f"SELECT version_num FROM {REVISION_TABLE}")
MARK = sa.text(f"UPDATE {REVISION_TABLE} SET version_num = '{RESTORING}' || version_num")
UNMARK = sa.text(
    f"UPDATE {REVISION_TABLE} SET version_num = replace(version_num, '{RESTORING}', '')"
)


class BrokenReferences(GatewayError):
    """A migration left rows that refer to nothing; it was rolled back."""

    code = "broken_references"


class NewerTables(GatewayError):
    """A newer version of the program has made these tables."""

    code = "newer_tables"


class HalfRestored(GatewayError):
    """Restoring a backup was interrupted, so nothing may be sent from this database."""

    code = "half_restored"

    def __init__(self) -> None:
        super().__init__(
            "restoring a backup into this database was interrupted: "
            f"run {program.line('restore')} again with the backup"
        )


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
    """Return the revision the database is at, `None` when it is new; raise `HalfRestored`."""
    with database.reading() as session:
        if not sa.inspect(session.connection()).has_table(REVISION_TABLE):
            return None
        revision: str | None = session.scalar(REVISION)
    if revision is not None and revision.startswith(RESTORING):
        raise HalfRestored
    return revision


def upgrade_restored(database: Database) -> None:
    """Upgrade PostgreSQL's tables of a backup that was loaded; they stay marked until `end_restoring`."""
    with database.engine.connect() as connection:
        runs.upgrade_postgresql(connection, "head", is_restored=True)


def end_restoring(session: Session) -> None:
    """Let servers use the tables from the end of this transaction on."""
    session.execute(UNMARK)


def head() -> str:
    """Return the newest revision there is: the number that its file's name begins with."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def mismatch(revision: str | None) -> str:
    """Return that the tables are at this revision, which is not the newest one, and what to do."""
    found, way = revision or "none", way_to_head(revision)
    return f"the database is at revision {found}, this version needs {head()}: {way}"


def way_to_head(revision: str | None) -> str:
    """Return what to do where the tables are at this revision, which is not the newest one."""
    if revision is not None and revision > head():
        return "a newer version has made the tables: run that version, or restore a backup from before the upgrade"
    return f"run {program.line('db upgrade')}"
