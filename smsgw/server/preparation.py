"""Prepares the database before the server's processes use it."""

import logging
from contextlib import closing, suppress

from .. import program
from ..core.events import recording
from ..core.operations import copy_marks, first_start
from ..core.operations.copy_marks import Copied
from ..logs import redact
from ..settings import Settings
from ..store import migrations, outages
from ..store.db import Database

_EMPTY = (
    "%s is empty, without a phone, a CRM or an operator: if that is a surprise, check SMSGW_DATABASE_URL;"
    " '%s' makes the first ones"
)
_LOG = logging.getLogger("smsgw.server")


def prepare(settings: Settings) -> str | None:
    """Bring the tables up to date, and the event feed's positions above all stored ones; return what hinders that.

    Makes no secrets, and SQLite's file only in a folder that is there.
    """
    try:
        with closing(Database(settings.database_url)) as database:
            if database.is_sqlite and not database.files.has_folder():
                # Raises. A folder is made by a person alone, because the right one may be on a disk that is away.
                migrations.current(database)
            database.create()
            copy_marks.refuse(database)
            migrations.upgrade(database)
            with database.transaction() as session:
                recording.raise_feed_base(session)
                if first_start.is_empty(session):
                    _LOG.warning(_EMPTY, redact(settings.database_url), program.line("init"))
    except outages.DatabaseError as error:
        return f"the database cannot be used: {outages.reason(error)}"
    except (migrations.NewerTables, migrations.HalfRestored, Copied) as error:
        return str(error)
    return None


def refuse_copied(settings: Settings) -> None:
    """Raise `Copied` where the database must not be served because of a copy, unless it cannot be reached now."""
    with closing(Database(settings.database_url, 1)) as database, suppress(outages.DatabaseError):
        copy_marks.refuse(database)
