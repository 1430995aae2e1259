"""SQLite, and what can happen to its file: locked, copied, cut off from its power."""

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from ..powercut.disk import File, records
from ..powercut.program import HEADER
from .faults import library

_RECORDER = Path(__file__).parent.parent / "powercut" / "recorder.c"


class Sqlite:
    """A database in a file."""

    name = "SQLite"

    def __init__(self, folder: Path, template: Path) -> None:
        self._folder = folder
        self._path = folder / "smsgw.db"
        self._path.write_bytes(template.read_bytes())
        self.url = f"sqlite:///{self._path}"
        self.disk = str(self._path)
        self._recorded = folder / "recorded"

    def hold_lock(self, seconds: float) -> None:
        """Let nobody else write for so long."""
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            database.execute("ROLLBACK")

    def back_up(self) -> None:
        """Copy it as SQLite's own backup does, and check that the copy is whole."""
        path = self._folder / "backup.db"
        path.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(self._path)) as database,
            closing(sqlite3.connect(path)) as copy,
        ):
            database.backup(copy, pages=64, sleep=0.01)
            assert copy.execute("pragma quick_check").fetchone() == ("ok",)

    def begin_record(self) -> dict[str, str]:
        """Note the file as it is now; return the environment with which a server's writes are recorded.

        No server may run.
        """
        with closing(sqlite3.connect(self._path)) as database:
            database.execute("pragma wal_checkpoint(truncate)")
        content = self._path.read_bytes()
        start = [(b"W", content), (b"B", b""), (b"E", b"")]
        self._recorded.write_bytes(
            b"".join(HEADER.pack(kind, b"\1", 0, 0, len(data)) + data for kind, data in start)
        )
        return {
            "LD_PRELOAD": str(library(_RECORDER, self._folder)),
            "RECORDER_DATABASE": str(self._path),
            "RECORDER_LOG": str(self._recorded),
        }

    def cut_power(self, chance: random.Random) -> int:
        """Take away what no sync has brought to the disk, or some of it; return how many writes that were.

        No server may run.
        """
        files = {1: File(chance), 2: File(chance)}
        for kind, number, thread, offset, data in records(self._recorded.read_bytes()):
            files[number].apply(kind, thread, offset, data)
        is_torn = chance.random() < 0.5
        for number, suffix in ((1, ""), (2, "-wal")):
            path, file = Path(f"{self._path}{suffix}"), files[number]
            path.unlink(missing_ok=True)
            if file.exists:
                path.write_bytes(file.after(file.torn() if is_torn else []))
        Path(f"{self._path}-shm").unlink(missing_ok=True)
        self._recorded.unlink()
        return sum(len(file.unsynced) for file in files.values())

    def close(self) -> None:
        """Leave nothing behind that runs."""
