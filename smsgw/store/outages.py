"""Distinguishes a database that cannot be used now from an error of ours, and logs it in one line."""

import logging
import re
import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..lazy_imports import is_loaded, lazy
from ..logs import redact

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = lazy("psycopg")

# What any statement may raise, whichever driver it came from.
DatabaseError = sa.exc.SQLAlchemyError
LOG_SECONDS = 10.0
MOST_CHARACTERS = 1000

# What to do, by a pattern for what SQLite, PostgreSQL or a program of it says.
_REMEDIES = {
    "statement pooling mode": "set pool_mode = transaction or session in PgBouncer",
    "no such table": "the database has no tables yet, or is another one",
    'role "[^"]*" does not exist|database "[^"]*" does not exist': "create the database and its user first",
    "permission denied for schema": "make its user the owner of the database, or GRANT CREATE ON SCHEMA public",
    "disk is full|No space left": "make room on its disk",
    "is malformed|end of file": "the file is damaged or incomplete, restore the newest backup that is whole",
    "file is not a database": "it is damaged, or the file of another program",
}
# Where in the statement PostgreSQL found the fault.
_PLACE = re.compile(r" LINE \d+: .*")
# SQLite's code for a wrong statement (SQLITE_ERROR). Disks, locks and files have others.
_OUR_FAULT = 1
# The database is new, or another one than before.
_WITHOUT_TABLES = "no such table: "
_SQLITE_FULL = 13


def is_outage(error: BaseException) -> bool:
    """Return whether the database is away, locked, full, read-only or out of connections: a retry may succeed."""
    if isinstance(error, sa.exc.TimeoutError | sa.exc.DisconnectionError):
        return True
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.DatabaseError):
        code = getattr(cause, "sqlite_errorcode", None)
        is_own = isinstance(cause, sqlite3.IntegrityError | sqlite3.ProgrammingError)
        is_statement = code is not None and code & 0xFF == _OUR_FAULT
        return not is_own and (not is_statement or str(cause).startswith(_WITHOUT_TABLES))
    return is_loaded("psycopg") and _is_outage_of_postgresql(cause)


def is_full(error: BaseException) -> bool:
    """Return whether the database's disk is full, which does not pass by itself."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.DatabaseError):
        return getattr(cause, "sqlite_errorcode", None) == _SQLITE_FULL
    return is_loaded("psycopg") and isinstance(cause, psycopg.errors.DiskFull)


def is_read_only(error: BaseException) -> bool:
    """Return whether PostgreSQL accepts connections but no changes: another server may accept them."""
    cause = getattr(error, "orig", error)
    return is_loaded("psycopg") and isinstance(cause, psycopg.errors.ReadOnlySqlTransaction)


def reason(error: BaseException) -> str:
    """Return the driver's error text in one line without passwords, and what to do where that is known."""
    cause = getattr(error, "orig", None) or error
    text = redact(_PLACE.sub("", " ".join(str(cause).split()))) or type(cause).__name__
    return with_remedy(text[:MOST_CHARACTERS])


def with_remedy(text: str) -> str:
    """Return the error text and, where it is known, what to do."""
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, text):
            return f"{text}: {remedy}"
    return text


class OutageLog:
    """Logs that the database cannot be used, at most one line in ten seconds for all that notice it."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._silent_until = 0.0

    def note(self, error: BaseException) -> None:
        """Write the line unless there was one just now."""
        moment = self._clock()
        if moment >= self._silent_until:
            self._silent_until = moment + LOG_SECONDS
            self._log.error("the database cannot be used: %s", reason(error))


log = OutageLog(logging.getLogger("smsgw.database"))


def log_failure(error: BaseException, logger: logging.Logger, what: str) -> None:
    """Log an outage in its one line, and any other error with its traceback after the text `what`."""
    if is_outage(error):
        log.note(error)
    else:
        logger.error("%s", what, exc_info=error)


def _is_outage_of_postgresql(cause: BaseException) -> bool:
    errors = psycopg.errors
    # The server ends the session, for which psycopg raises PEP 249's `InternalError`.
    ended = errors.IdleInTransactionSessionTimeout, errors.TransactionTimeout
    away = psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction
    # The database is new, or another one than before.
    return isinstance(cause, (*away, *ended, errors.UndefinedTable))
