"""SQLite's write-ahead log: a commit is in it, and here it gets onto the disk while the next writer has its turn.

With `synchronous=full` SQLite waits for the disk inside the commit, and so does everybody who wants to write next. With
`normal` it leaves that to others; what a checkpoint moves into the database file is on the disk in either case
(sqlite.org/pragma.html#pragma_synchronous). So the same promise is kept by syncing the log after a commit, and telling
nobody of the commit before.
"""

import os
from typing import Any

import sqlalchemy as sa

# macOS has the slower one only.
_sync = getattr(os, "fdatasync", os.fsync)


class WriteAheadLog:
    """The log of the database at `path`."""

    def __init__(self, path: str) -> None:
        self._path = f"{path}-wal"

    def sync(self) -> None:
        """Returns once everything that was committed by now is on the disk; raises `OperationalError` if it cannot be.

        Opened anew each time: SQLite removes the log with its last connection, when all of it is in the database.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            _sync(descriptor)
        except OSError as error:
            raise sa.exc.OperationalError("sync", None, error) from error
        finally:
            os.close(descriptor)


def prepare(dbapi: Any) -> None:
    """Has a new connection use the log; on a file system that cannot have one, commits wait for the disk."""
    (mode,) = dbapi.execute("pragma journal_mode=wal").fetchone()
    dbapi.execute(f"pragma synchronous={'normal' if mode == 'wal' else 'full'}")
