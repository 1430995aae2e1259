"""Replaces the database by a backup, and holds its queue, so that nothing is sent a second time."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from ...errors import Conflict
from ...store import audit, contents, migrations, postgresql_programs, sqlite_files
from ...store.contents import Contents
from ...store.db import REVISION_TABLE, Database
from ...store.models import Device
from ...store.postgresql_programs import Programs
from ...store.sqlite_files import BadFile
from ...store.tables import Table
from ..accounts import enrolment
from ..events import recording
from ..messages import held
from . import backup_files, backups, copy_marks, in_use

_KINDS = (
    *("TABLE DATA", "TABLE", "SEQUENCE OWNED BY", "SEQUENCE SET", "SEQUENCE"),
    *("DEFAULT", "FK CONSTRAINT", "CONSTRAINT", "INDEX"),
)
_ENTRY = re.compile(rf"\d+; \d+ \d+ (?P<kind>{'|'.join(_KINDS)}) \S+ (?P<name>[a-z_]+)\b")
_REVISION = re.compile(rf"COPY \S*{REVISION_TABLE} .*\n(\d+)\n")
# Only PostgreSQL 17 and newer know this setting, and their programs write it for all versions.
_NEW_SETTING = b"SET transaction_timeout = 0;"
_MARK = (
    f"UPDATE {{schema}}.{REVISION_TABLE} SET version_num = '{migrations.RESTORING}' || version_num;"
)
_PIECE = 2**16


@dataclass(frozen=True)
class Restored:
    """The restored contents, those before and where they are kept, and how many unsent messages were stopped."""

    contents: Contents
    previous: Contents | None
    kept: Path | None
    held_count: int
    unconfirmed_count: int

    @property
    def lost(self) -> dict[str, int]:
        """Return how many messages, devices and CRMs more there were before."""
        before = self.previous.counts if self.previous else {}
        names = ("messages", "devices", "crms")
        return {name: max(0, before.get(name, 0) - self.contents.counts[name]) for name in names}


def restore(database: Database, file: Path, now: datetime) -> Restored:
    """Replace the database by the backup, upgraded to this version.

    Raises `Conflict` while the database is in use, and `BadFile` where the file is no backup of this kind of database.
    Nothing is changed until the backup is complete.
    """
    backup_files.refuse_foreign(file, is_sqlite=database.is_sqlite)
    return _sqlite(database, file, now) if database.is_sqlite else _postgresql(database, file, now)


def hold(database: Database, name: str, action: str, now: datetime) -> tuple[int, int]:
    """Hold what is queued, and end what phones have in hand; return how many of each there were.

    The audit notes the action, on a file or a database of this name. Takes the mark of a copy away.
    """
    with database.transaction() as session:
        copy_marks.refuse_unfinished(session)
        copy_marks.clear(session)
        recording.raise_feed_base(session)
        held_count = held.hold_all(session, now)
        there = sa.select(Device).where(Device.removed_at.is_(None)).order_by(Device.id)
        unconfirmed_count = sum(
            enrolment.reset(session, device, now) for device in session.scalars(there).all()
        )
        audit.note(session, "database", name, action)
        migrations.end_restoring(session)
    return held_count, unconfirmed_count


def _sqlite(database: Database, file: Path, now: datetime) -> Restored:
    path = Path(str(database.url.database))
    if path.exists() and path.samefile(file):
        raise Conflict(f"{file} is the database itself")
    in_use.refuse(database)
    _refuse_newer(file, sqlite_files.check(file).revision)
    previous = _previous(path)
    kept = Path(f"{path}.before-restore-{now:%Y%m%dT%H%M%S.%fZ}")

    def place(made: Path) -> None:
        sqlite_files.empty_log(path)
        with sqlite_files.alone(path):
            _keep(path, kept)
            os.replace(made, path)

    with backups.file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with backups.file_errors(path), backups.new_file(path, place) as made:
        with closing(sqlite_files.open_read_only(file)) as source:
            sqlite_files.copy(source, made)
        with closing(Database(f"sqlite:///{made}", 1, database.find_actor)) as prepared:
            migrations.upgrade(prepared)
            counts = hold(prepared, file.name, "restore", now)
        found = sqlite_files.check(made)
        _give_to_owner(made, path)
    return Restored(found, previous, kept if kept.exists() else None, *counts)


def _previous(path: Path) -> Contents | None:
    """Return what is in the database before, `None` where that cannot be read."""
    if not path.exists():
        return None
    try:
        return sqlite_files.check(path)
    except BadFile:
        return None


def _keep(path: Path, kept: Path) -> None:
    """Give the database a second name, and move its log to that name: SQLite would write it into the new file."""
    if path.exists():
        os.link(path, kept)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{kept}{suffix}")


def _give_to_owner(made: Path, path: Path) -> None:
    """Let the server open the file also where another user restores it."""
    owner = (path if path.exists() else path.parent).stat()
    with suppress(PermissionError):
        os.chown(made, owner.st_uid, owner.st_gid)


def _postgresql(database: Database, file: Path, now: datetime) -> Restored:
    with database.engine.connect() as connection:
        in_use.refuse_others(connection)
        programs = postgresql_programs.find(connection)
        schema = str(connection.dialect.default_schema_name)
        _check_archive(programs, file)
        previous = contents.find(connection)
    database.engine.dispose()
    _load(programs, file, schema)
    migrations.upgrade_restored(database)
    counts = hold(database, file.name, "restore", now)
    with database.engine.connect() as connection:
        found = contents.find(connection)
    assert found is not None
    return Restored(found, previous, None, *counts)


def _check_archive(programs: Programs, file: Path) -> None:
    """Raise `BadFile` where there is anything but our tables in the file, or those of a newer version."""
    listed = programs.run("pg_restore", "--list", str(file), is_connected=False)
    lines = [line for line in listed.splitlines() if line and not line.startswith(";")]
    entries = [_ENTRY.match(line) for line in lines]
    tables = {found["name"] for found in entries if found and found["kind"] == "TABLE DATA"}
    ours = {*Table.metadata.tables, REVISION_TABLE}
    if None in entries or not {"messages", REVISION_TABLE} <= tables <= ours:
        raise BadFile(f"{file} is not a backup of smsgw")
    arguments = ("--data-only", f"--table={REVISION_TABLE}", "--file=-", str(file))
    revision = _REVISION.search(programs.run("pg_restore", *arguments, is_connected=False))
    if revision is None:
        raise BadFile(f"{file} is not a backup of smsgw")
    _refuse_newer(file, revision[1])


def _refuse_newer(file: Path, revision: str) -> None:
    if revision > migrations.head():
        raise BadFile(
            f"{file} is at revision {revision} and this version knows {migrations.head()}: "
            "restore it with the version that made it, or a newer one"
        )


def _load(programs: Programs, file: Path, schema: str) -> None:
    """Replace our tables in one transaction, which also holds what is queued, and keeps servers from using them."""
    tables = ", ".join(f'"{schema}".{name}' for name in [*Table.metadata.tables, REVISION_TABLE])
    first = f"BEGIN;\nDROP TABLE IF EXISTS {tables} CASCADE;\n"
    hold, mark = held.HOLD_ALL.format(schema=schema), _MARK.format(schema=schema)
    last = f"\n{hold}\n{mark}\nCOMMIT;\n"
    command = programs.command("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
    with _running(programs, command, subprocess.PIPE) as psql:
        assert psql.stdin is not None
        with suppress(BrokenPipeError):
            psql.stdin.write(first.encode())
            _write_archive(programs, file, psql.stdin)
            psql.stdin.write(last.encode())
        said = psql.communicate()[1].decode(errors="replace")
    if psql.returncode:
        raise postgresql_programs.failure("psql", said)


def _write_archive(programs: Programs, file: Path, target: IO[bytes]) -> None:
    command = programs.command(
        "pg_restore", "--no-owner", "--file=-", str(file), is_connected=False
    )
    with _running(programs, command, None) as archive:
        assert archive.stdout is not None
        target.write(archive.stdout.read(_PIECE).replace(_NEW_SETTING, b""))
        shutil.copyfileobj(archive.stdout, target, _PIECE)
        said = archive.communicate()[1].decode(errors="replace")
    if archive.returncode:
        raise postgresql_programs.failure("pg_restore", said)


@contextmanager
def _running(
    programs: Programs, command: list[str], source: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; it is ended where an exception comes, and what it has not committed is undone."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if source is None else source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=programs.environment(),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
