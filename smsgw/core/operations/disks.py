"""Checks whether the disk that holds the database has room: without any, nothing can be accepted."""

import os
import time
from pathlib import Path
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from ...store import outages
from ...store.db import Database
from .finding import Finding

# Less than SQLite's log needs between two checkpoints.
FULL_BELOW = 8 * 2**20
LOW_BELOW = 512 * 2**20
# /readyz is called often.
ASK_AGAIN_SECONDS = 2.0

_ADVICE = "free some space, or give the database a larger disk; SMSGW_RETENTION_DAYS keeps old texts from filling it"
# A sort that does not fit into memory writes a file of half a megabyte beside the tables, and nothing else.
_LITTLE_MEMORY = sa.text("SET LOCAL work_mem = '64kB'")
_SORT = sa.text(
    "SELECT count(*) FROM (SELECT n FROM generate_series(1, 8000) AS n ORDER BY md5(n::text)) AS sorted"
)
_FULL = ("No space left on device", "Disk quota exceeded")

_asked: WeakKeyDictionary[Database, tuple[float, Finding]] = WeakKeyDictionary()


def examine(database: Database) -> Finding:
    """Return the finding about the disk; raise the database's error where PostgreSQL cannot be asked."""
    if database.is_sqlite:
        return _of_folder(Path(str(database.url.database)).parent)
    asked_at, finding = _asked.get(database, (0.0, None))
    if finding is None or time.monotonic() - asked_at > ASK_AGAIN_SECONDS:
        finding = _of_postgresql(database)
        _asked[database] = (time.monotonic(), finding)
    return finding


def _of_folder(folder: Path) -> Finding:
    try:
        found = os.statvfs(folder)
    except OSError as error:
        # The next check says what is wrong with the database there.
        return Finding("disk", "ok", f"not examined: {folder}: {error.strerror}")
    free = found.f_bavail * found.f_frsize
    if free < FULL_BELOW:
        return Finding(
            "disk", "wrong", f"the disk of {folder} is full: {_size(free)} free", _ADVICE
        )
    if found.f_files and not found.f_favail:
        return Finding("disk", "wrong", f"the disk of {folder} takes no more files", _ADVICE)
    state = "warning" if free < LOW_BELOW else "ok"
    return Finding("disk", state, f"{_size(free)} free", _ADVICE if state == "warning" else "")


def _of_postgresql(database: Database) -> Finding:
    try:
        with database.engine.connect() as connection:
            connection.execute(_LITTLE_MEMORY)
            connection.execute(_SORT)
    except outages.DatabaseError as error:
        reason = outages.reason(error)
        if not any(words in reason for words in _FULL):
            raise
        return Finding("disk", "wrong", f"the disk of PostgreSQL is full: {reason}", _ADVICE)
    return Finding("disk", "ok", "PostgreSQL has room")


def _size(count: int) -> str:
    megabytes = count / 2**20
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"
