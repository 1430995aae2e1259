"""Checks whether the server can do its work, for `/readyz` and, with many more checks, for `doctor`."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from ... import program
from ...store import migrations, outages
from ...store.db import Database
from . import disks, spans
from . import metrics as stored_metrics
from .finding import Finding

WORKER_IS_GONE_AFTER_SECONDS = 60


def examine(database: Database, now: datetime) -> list[Finding]:
    """Return findings about disk, database, tables and worker, without checks that depend on a failed one."""
    findings: list[Finding] = []
    for check in _CHECKS:
        try:
            findings.append(check(database, now))
        except SQLAlchemyError as error:
            findings.append(_unreachable(database, error))
        if findings[-1].state == "wrong":
            break
    return findings


def _disk(database: Database, _now: datetime) -> Finding:
    return disks.examine(database)


def _database(database: Database, _now: datetime) -> Finding:
    with database.engine.connect() as connection:
        kind, version = connection.dialect.name, connection.dialect.server_version_info or ()
        is_read_only = _is_read_only(database, connection)
    if is_read_only:
        return Finding(
            "database",
            "wrong",
            "can be read and not be written",
            "is it a standby (SMSGW_DATABASE_URL may name several hosts and target_session_attrs=read-write), "
            "or a file of another user?",
        )
    return Finding("database", "ok", f"{kind} {'.'.join(map(str, version))}".strip())


def _is_read_only(database: Database, connection: Connection) -> bool:
    if database.is_sqlite:
        return not os.access(str(database.url.database), os.W_OK)
    return connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"


def _migrations(database: Database, _now: datetime) -> Finding:
    head = migrations.head()
    try:
        current = migrations.current(database)
    except migrations.HalfRestored as error:
        return Finding("migrations", "wrong", str(error))
    if current == head:
        return Finding("migrations", "ok", f"at revision {head}")
    return Finding(
        "migrations",
        "wrong",
        f"the tables are at revision {current or 'none'}, this version needs {head}",
        migrations.way_to_head(current),
    )


def worker(database: Database, now: datetime) -> Finding:
    """Return the finding about the worker."""
    with database.reading() as session:
        silent_seconds = stored_metrics.worker_silent_seconds(session, now)
    if silent_seconds is None:
        text = "no worker was ever seen"
    elif silent_seconds > WORKER_IS_GONE_AFTER_SECONDS:
        ago = spans.text(timedelta(seconds=silent_seconds))
        text = (
            f"it was last seen {ago} ago; until it runs, no webhook is called and nothing expires"
        )
    else:
        return Finding("worker", "ok", f"seen {max(silent_seconds, 0):.0f} seconds ago")
    advice = (
        f"start the server ({program.server_line()}) or the worker alone ({program.line('worker')})"
    )
    return Finding("worker", "wrong", text, advice)


def _unreachable(database: Database, error: SQLAlchemyError) -> Finding:
    advice = (
        "check SMSGW_DATABASE_URL, and run commands as the user that runs the server"
        if database.is_sqlite
        else "check SMSGW_DATABASE_URL, and that the database runs and lets this user in"
    )
    return Finding("database", "wrong", f"cannot be used: {outages.reason(error)}", advice)


_CHECKS: tuple[Callable[[Database, datetime], Finding], ...] = (
    _disk,
    _database,
    _migrations,
    worker,
)
