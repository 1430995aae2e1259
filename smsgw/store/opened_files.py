"""Notices that SQLite's files were moved, replaced or removed while they are open: what is written then is lost."""

import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa


class OpenedFiles:
    """The file of a database as it was found when it was opened, made where there was none, and its log beside it."""

    def __init__(self, path: str) -> None:
        _keep_private(Path(path))
        self._path = path
        self._number = _number(path)
        self._beside: dict[str, int | None] = {}

    def check(self) -> None:
        """Raise `sqlite3.OperationalError` where the path no longer names the file that was opened."""
        _check(self._path, self._number)

    def note_log(self) -> None:
        """Remember the log and its index, which SQLite keeps while a connection is open that has begun to write."""
        if not self._beside:
            names = (f"{self._path}-wal", f"{self._path}-shm")
            self._beside = {name: _number(name) for name in names}

    def forget_log(self) -> None:
        """Let another connection find others."""
        self._beside = {}

    def check_all(self) -> None:
        """Check the same, and the log and its index where they are known."""
        self.check()
        for name, number in self._beside.items():
            _check(name, number)


def _keep_private(path: Path) -> None:
    """Make the file before SQLite does, for its owner alone: it holds what people wrote, and webhook secrets.

    Raises `OperationalError` where it cannot be made, or be written by this user.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("r+b"):
            pass
    except OSError as error:
        cause = sqlite3.OperationalError(f"{path} cannot be written: {error.strerror}")
        raise sa.exc.OperationalError("open", None, cause) from error


def _check(path: str, number: int | None) -> None:
    if _number(path) != number:
        raise sqlite3.OperationalError(
            f"{path} was moved, replaced or removed while it is in use:"
            " stop the server, put the files in place, and start it again"
        )


def _number(path: str) -> int | None:
    """Return the file's number (inode), by which SQLite knows it too; `None` where there is none."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
