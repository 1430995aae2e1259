"""Gives SQLAlchemy a connection to SQLite while all writers share one."""

import sqlite3
from typing import Any

from .group_commit import GroupCommit


class Member:
    """A DBAPI connection (PEP 249) whose transactions are members of a group commit."""

    def __init__(self, group_commit: GroupCommit) -> None:
        self._group_commit = group_commit
        self._connection: sqlite3.Connection | None = None

    def begin(self) -> sqlite3.Connection:
        """Begin a transaction unless there is one, and return what its statements run on."""
        if self._connection is None:
            self._connection = self._group_commit.enter()
        return self._connection

    def cursor(self) -> sqlite3.Cursor:
        """Begin a transaction unless there is one."""
        return self.begin().cursor()

    def commit(self) -> None:
        """Return once it is on the disk."""
        self._leave(keeps_changes=True)

    def rollback(self) -> None:
        """Return once all that it has read is on the disk."""
        self._leave(keeps_changes=False)

    def close(self) -> None:
        """Roll back what was not committed."""
        self._leave(keeps_changes=False)

    def create_function(self, *_: Any, **__: Any) -> None:
        """Do nothing: SQLAlchemy has given its functions to the connection beneath."""

    def _leave(self, *, keeps_changes: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._group_commit.leave(keeps_changes=keeps_changes)
