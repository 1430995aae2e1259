"""Writes a backup of the database into a file while the server runs."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from ...errors import Conflict, GatewayError
from ...store import contents, outages, postgresql_programs, sqlite_files
from ...store.contents import Contents
from ...store.db import REVISION_TABLE, Database
from ...store.postgresql_programs import ProgramFailed

_SNAPSHOT = sa.text("SELECT pg_export_snapshot()")


class FileFailed(GatewayError):
    """The file cannot be written or read."""

    code = "file_failed"


@dataclass(frozen=True)
class Backup:
    """A file with a whole database."""

    path: Path
    size: int
    contents: Contents


def write(database: Database, path: Path, *, replaces: bool) -> Backup:
    """Write the database into a file, check the file, and then give it its name; the server goes on meanwhile.

    Only its owner can read the file. Raises `FileFailed`, or `Conflict` if the file exists, unless `replaces`.
    """
    if not replaces and os.path.lexists(path):
        raise Conflict(f"{path} is there already: give another name, or --replace", code="exists")
    if database.is_sqlite and path.exists() and path.samefile(str(database.url.database)):
        raise Conflict(f"{path} is the database itself", code="exists")
    if not path.parent.is_dir():
        raise FileFailed(f"{path}: there is no folder {path.parent}: make it first")
    with file_errors(path), new_file(path) as made:
        found = _sqlite(database, made) if database.is_sqlite else _postgresql(database, made)
        size = made.stat().st_size
    return Backup(path, size, found)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raise `FileFailed` with the file's name in place of an error of the disk or of SQLite."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        text = error.strerror if isinstance(error, OSError) else None
        raise FileFailed(f"{path}: {outages.with_remedy(text or str(error))}") from None


@contextmanager
def new_file(path: Path, place: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Yield an empty file beside the path, for its owner alone, and give it the path's name at the end.

    `place` gives it that name, by default in place of an existing file. After an exception the file is removed.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    made = Path(name)
    try:
        yield made
        sync(made)
        if place is None:
            os.replace(made, path)
        else:
            place(made)
        sync(path.parent)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm", "-lock", "-next"):
            with suppress(FileNotFoundError):
                os.unlink(f"{name}{suffix}")


def sync(path: Path) -> None:
    """Wait until the file, or the names in the folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sqlite(database: Database, made: Path) -> Contents:
    with closing(database.files.open()) as source:
        sqlite_files.copy(source, made)
    return sqlite_files.check(made)


def _postgresql(database: Database, made: Path) -> Contents:
    """Dump our tables, and count the rows that the dump sees."""
    with database.snapshot() as connection:
        found = contents.find(connection)
        assert found is not None
        programs = postgresql_programs.find(connection)
        tables = [*found.counts, REVISION_TABLE]
        programs.run(
            "pg_dump",
            *("--format=custom", "--no-owner", "--no-privileges", f"--file={made}"),
            f"--snapshot={connection.scalars(_SNAPSHOT).one()}",
            *(f"--table={connection.dialect.default_schema_name}.{name}" for name in tables),
        )
        listed = programs.run("pg_restore", "--list", str(made), is_connected=False)
    if listed.count(" TABLE DATA ") != len(tables):
        raise ProgramFailed("pg_dump: the file it wrote has not all tables")
    return found
