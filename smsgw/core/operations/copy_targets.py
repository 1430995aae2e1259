"""Examines the target of a copy: it must be empty, or an unfinished copy."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict
from ...store import migrations, table_rows
from ...store.db import REVISION_TABLE, Database
from ...store.models import CountedHistory, DatabaseCopy, FeedBase, HourlyCount, WorkerHeartbeat
from ...store.tables import Table, plain
from . import copy_marks
from .copy_rows import TABLES

OLDEST_POSTGRESQL = 15
# Tables that migrations or a server without phones and CRMs write to.
_INITIAL = [plain(table) for table in (FeedBase, CountedHistory, HourlyCount, WorkerHeartbeat)]
_VERSION: sa.TextClause = sa.text("SELECT current_setting('server_version_num')::int / 10000")
_ENCODING: sa.TextClause = sa.text("SELECT current_setting('server_encoding')")


def examine(target: Database) -> DatabaseCopy | None:
    """Return the mark of an unfinished copy, `None` for an empty database; raise `Conflict` for any other."""
    if target.is_sqlite and not target.files.has_folder():
        raise Conflict("there is no folder for the target: make it first, or mount its disk")
    if target.is_sqlite:
        target.create()
    with target.reading() as session:
        connection = session.connection()
        if not target.is_sqlite:
            _check_server(session)
        names = set(sa.inspect(connection).get_table_names())
        if not names:
            return None
        foreign = names - {*Table.metadata.tables, REVISION_TABLE}
        if foreign or REVISION_TABLE not in names:
            raise Conflict(
                f"the target has tables of another program ({', '.join(sorted(foreign or names)[:5])}): "
                "give an empty database"
            )
        if migrations.current(target) != migrations.head():
            raise Conflict("the target has tables of another version: give an empty database")
        mark = copy_marks.find(session)
        if mark is not None and mark.role == copy_marks.TARGET and mark.ended_at is None:
            return mark
        _refuse_filled(session)
    return None


def empty(session: Session) -> None:
    """Remove the rows of migrations and of an idle server, which the copy has too."""
    for table in _INITIAL:
        session.execute(sa.delete(table))


def _check_server(session: Session) -> None:
    version, encoding = session.scalars(_VERSION).one(), session.scalars(_ENCODING).one()
    if version < OLDEST_POSTGRESQL:
        raise Conflict(
            f"the target is PostgreSQL {version}: it must be {OLDEST_POSTGRESQL} or newer"
        )
    if encoding != "UTF8":
        raise Conflict(f"the target has the encoding {encoding}: create it with ENCODING 'UTF8'")


def _refuse_filled(session: Session) -> None:
    connection = session.connection()
    counts = {
        table.name: table_rows.count(connection, table) for table in TABLES if table not in _INITIAL
    }
    filled = [f"{count} {name}" for name, count in counts.items() if count]
    if filled:
        raise Conflict(f"the target is not empty ({', '.join(filled[:5])}): give an empty database")
