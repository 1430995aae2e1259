"""Notices that SQLite's files were moved or replaced: what is written to them then is lost."""

import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from .. import program

# The device and the inode, by which SQLite knows a file too.
_FileId = tuple[int, int]
# The inode, the size and the time of the last write of a log.
LogState = tuple[int, int, int]
_CREATE_SECONDS = 15.0
_SETTLED_NS = 200_000_000
# Of a file that was empty when it was last seen.
_EMPTY: _FileId = (0, 0)


class OpenedFiles:
    """The file of a database and its log beside it, which may appear, disappear and return while the process runs.

    Where another file takes the place of the first, `check` returns another number, and connections made before that
    must not be used any more.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.log_path = f"{path}-wal"
        self._file: _FileId | None = None
        self._count = 0
        self._beside: dict[str, _FileId | None] = {}
        self._changing = threading.Lock()

    def create(self) -> None:
        """Make a database without tables where there is none, for its owner alone: it holds texts and webhook secrets.

        Raises `OperationalError` where it cannot be made, and where a log is left from a file that is away.
        """
        try:
            self._create(Path(self._path))
        except (OSError, sqlite3.Error) as error:
            text = error.strerror if isinstance(error, OSError) else str(error)
            cause = sqlite3.OperationalError(f"{self._path} cannot be written: {text}")
            raise sa.exc.OperationalError("open", None, cause) from error

    def has_folder(self) -> bool:
        """Return whether the folder is there; it may be on a disk that is not mounted."""
        return Path(self._path).parent.is_dir()

    def open(self) -> sqlite3.Connection:
        """Return a connection to the file, for any thread. Raises what `check` raises."""
        arguments: list[Any] = []
        options: dict[str, Any] = {"isolation_level": None, "check_same_thread": False}
        self.connect(arguments, options)
        connection: sqlite3.Connection = sqlite3.connect(*arguments, **options)
        return connection

    def connect(self, arguments: list[Any], options: dict[str, Any]) -> None:
        """Have the driver open the file as it is: without `mode=rw` it would make an empty one where there is none.

        Raises what `check` raises.
        """
        self.check()
        arguments[:] = [f"file:{quote(self._path)}?mode=rw"]
        options["uri"] = True

    def check(self) -> int:
        """Return how many files have been found at the path so far.

        Raises `sqlite3.OperationalError` where there is none, or one that must not be used while this process runs.
        """
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise sqlite3.OperationalError(self._absent(error)) from None
        if (found.st_dev, found.st_ino) != self._file or not found.st_size:
            with self._changing:
                self._change(found)
        return self._count

    def find_log_state(self) -> LogState | None:
        """Return a value that changes with each commit; `None` if the log is missing or was just written to.

        Within one tick of the file system's clock a second commit does not show, so a new time counts for nothing.
        """
        try:
            found = os.stat(self.log_path)
        except OSError:
            return None
        is_settled = time.time_ns() - found.st_mtime_ns > _SETTLED_NS
        return (found.st_ino, found.st_size, found.st_mtime_ns) if is_settled else None

    def note_log(self) -> None:
        """Remember the log and its index, which SQLite keeps while a connection is open that has begun to write."""
        if not self._beside:
            names = (self.log_path, f"{self._path}-shm")
            self._beside = {name: _id(name) for name in names}

    def forget_log(self) -> None:
        """Forget the log and its index, so that another connection may use others."""
        self._beside = {}

    def check_all(self) -> int:
        """Check the file, and the log and its index if they are known."""
        count = self.check()
        for name, known in self._beside.items():
            if _id(name) != known:
                raise _wrong(name, "was moved, replaced or removed while it is in use")
        return count

    def _create(self, path: Path) -> None:
        if path.exists() and (path.is_dir() or path.stat().st_size):
            return
        log = Path(self.log_path)
        if log.exists() and log.stat().st_size:
            raise sqlite3.OperationalError(
                f"{log.name} is left from a database whose file is away: put that file back, or remove this one"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        deadline = time.monotonic() + _CREATE_SECONDS
        while not path.stat().st_size:
            try:
                _begin_log(path)
            except sqlite3.OperationalError:
                # Another process does the same just now; SQLite does not wait for it here.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _absent(self, error: OSError) -> str:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            return f"{self._path} cannot be read: {error.strerror}"
        if self._file is not None:
            return f"{self._path} was moved or removed while it is in use: put it back"
        return (
            f"no database at {self._path}: is SMSGW_DATABASE_URL set as for the server? "
            f"A new one is made by: {program.line('init')}"
        )

    def _change(self, found: os.stat_result) -> None:
        """Use the file that is there now."""
        if not stat.S_ISREG(found.st_mode):
            raise sqlite3.OperationalError(f"{self._path} is not a file")
        if not found.st_size:
            self._file = self._file and _EMPTY
            raise sqlite3.OperationalError(f"no database at {self._path}: the file is empty")
        file = (found.st_dev, found.st_ino)
        if file == self._file:
            return
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise sqlite3.OperationalError(f"{self._path} cannot be written: Permission denied")
        # The log of the file before would be written into this one, by whoever opens it.
        if any(known is not None and _id(name) == known for name, known in self._beside.items()):
            raise _wrong(self._path, "was replaced while it is in use")
        self.forget_log()
        self._file = file
        self._count += 1


def _begin_log(path: Path) -> None:
    """Write the header of a database with a log, so that the file is no longer empty."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")


def _wrong(path: str, text: str) -> sqlite3.OperationalError:
    return sqlite3.OperationalError(
        f"{path} {text}: stop the server, put the files in place, and start it again"
    )


def _id(path: str) -> _FileId | None:
    """Return `None` where there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
