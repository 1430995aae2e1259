"""Copies and checks whole files of SQLite."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from ..errors import GatewayError
from . import contents, outages
from .contents import Contents

_LOCK_START, _LOCK_LENGTH = 0x4000_0000, 512
_FOREIGN = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"


class BadFile(GatewayError):
    """The file is no database of ours, or is damaged."""

    code = "bad_file"


class FileUsed(GatewayError):
    """Another process has the database open."""

    code = "file_used"


def refuse_if_used(path: Path) -> None:
    """Raise `FileUsed` where another process has the database open, as a server has all the time."""
    with alone(path):
        pass


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes from opening the database; raise `FileUsed` where one has it open.

    Everybody who uses a file of SQLite with a log holds its shared lock (https://sqlite.org/fileformat2.html#lock_byte_page).
    No connection of this process may be open.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_LENGTH, _LOCK_START)
        yield
    except (BlockingIOError, PermissionError):
        raise FileUsed(f"{path} is in use: stop the server first") from None
    finally:
        os.close(file)


def empty_log(path: Path) -> None:
    """Write what is in the log of a readable file into the file, so that it is whole without the log."""
    if path.exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")


def copy(source: sqlite3.Connection, path: Path) -> None:
    """Write the database as it is now into an empty file.

    One step is one read transaction: whoever writes meanwhile does not wait and is not waited for. With several steps
    SQLite begins again after each change, and never ends while phones poll.
    """
    with closing(sqlite3.connect(path)) as target:
        source.backup(target)
        # So that the file is all there is, without a log beside it.
        target.execute("pragma journal_mode=delete")


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a file that nobody writes to, without making another file beside it."""
    log = Path(f"{path}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, check_same_thread=False)


def check(path: Path) -> Contents:
    """Return what is in the file; raise `BadFile` where it is damaged or not ours."""
    try:
        with closing(open_read_only(path)) as connection:
            fault = connection.execute("pragma quick_check(1)").fetchone()[0]
            has_foreign = connection.execute(_FOREIGN).fetchone() is not None
        found = None if has_foreign or fault != "ok" else _contents(path)
    except (sqlite3.Error, sa.exc.SQLAlchemyError) as error:
        raise BadFile(f"{path}: {outages.reason(error)}") from None
    if fault != "ok":
        raise BadFile(
            f"{path} is damaged, restore the newest backup that is whole: {' '.join(fault.split())}"
        )
    if found is None:
        raise BadFile(f"{path} is not a database of smsgw")
    return found


def _contents(path: Path) -> Contents | None:
    engine = sa.create_engine("sqlite://", creator=lambda: open_read_only(path))
    with engine.connect() as connection:
        found = contents.find(connection)
    engine.dispose()
    return found
