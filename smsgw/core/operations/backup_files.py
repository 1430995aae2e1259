"""Tells backups of SQLite, backups of PostgreSQL and other files apart, before anything is done with them."""

from pathlib import Path

from ... import program
from ...store.sqlite_files import BadFile
from . import backups

_BEGINNINGS = {"SQLite": b"SQLite format 3\0", "PostgreSQL": b"PGDMP"}
_LONGEST = max(map(len, _BEGINNINGS.values()))


def refuse_foreign(file: Path, *, is_sqlite: bool) -> None:
    """Raise `BadFile` where the file is no backup of this kind of database, `FileFailed` if it cannot be read."""
    with backups.file_errors(file), file.open("rb") as opened:
        beginning = opened.read(_LONGEST)
    kind = "SQLite" if is_sqlite else "PostgreSQL"
    found = [name for name, expected in _BEGINNINGS.items() if beginning.startswith(expected)]
    if not found:
        raise BadFile(
            f"{file} is not a backup of smsgw: if it was packed or encrypted, undo that first"
        )
    if kind not in found:
        raise BadFile(
            f"{file} is a backup of {found[0]} and SMSGW_DATABASE_URL names {kind}: restore it into an empty database "
            f"of {found[0]}, then move it with '{program.line('copy --to URL')}'"
        )
