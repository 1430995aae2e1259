"""Lets a database be served again that was copied to another one."""

from datetime import datetime
from typing import NamedTuple

from ...errors import Conflict
from ...store import audit
from ...store.db import Database
from . import copy_marks, in_use, restoring


class Reopened(NamedTuple):
    """The other database, whether the copy had ended, and how many unsent messages were stopped because of that."""

    other: str
    had_ended: bool
    held_count: int
    unconfirmed_count: int


def reopen(database: Database, now: datetime) -> Reopened:
    """Take the mark of a copy from its source; raise `Conflict` where there is none, or somebody uses the database.

    After a copy that had ended, the other database may have been served, and so nothing goes out of this one before it
    is released. After one that had not, the other one can neither be served nor be gone on with.
    """
    database.close()
    in_use.refuse(database)
    with database.reading() as session:
        mark = copy_marks.find(session)
    if mark is None or mark.role != copy_marks.SOURCE:
        raise Conflict("this database was not copied to another one, so it can be served as it is")
    if mark.ended_at is not None:
        return Reopened(mark.other, True, *restoring.hold(database, mark.other, "reopen", now))
    with database.transaction() as session:
        copy_marks.clear(session)
        audit.note(session, "database", mark.other, "reopen")
    return Reopened(mark.other, False, 0, 0)
