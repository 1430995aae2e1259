"""A power cut at any moment, on a disk that loses what was not synced and fails now and then: all were told right.

`POWER_CUTS=2000 POWER_CUT_ROUNDS=200` make it long (`make powercut`).
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..conftest import missing
from ..running import ROOT, environment
from .disk import File, records
from .program import HEADER

CUTS = int(os.environ.get("POWER_CUTS", "60"))
ROUNDS = int(os.environ.get("POWER_CUT_ROUNDS", "25"))
QUERIES = {
    "messages": "select id from messages",
    "events": "select id from events",
    "dispatches": "select id from dispatches",
    "acknowledged": "select id from dispatches where acknowledged_at is not null",
    "inbound": "select substr(inbound_key, instr(inbound_key, ':') + 1) from messages where direction = 'inbound'",
    "refused": "select content from messages where direction = 'outbound'",
}


class Disk:
    """The two files of a database, and what somebody was told by now."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.files = {1: File(chance), 2: File(chance)}
        self.answered: dict[str, set[str]] = {name: set() for name in QUERIES}
        self._path = folder / "cut.db"

    def faults(self) -> Iterator[str]:
        """What is wrong if the power is cut now: with all unsynced writes lost, and with some of them torn."""
        for keep in (lambda _: [], lambda file: file.torn()):
            yield from self._faults(
                {number: file.after(keep(file)) for number, file in self.files.items()}
            )

    def _faults(self, contents: dict[int, bytearray]) -> Iterator[str]:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        self._path.write_bytes(contents[1])
        if self.files[2].exists:
            Path(f"{self._path}-wal").write_bytes(contents[2])
        try:
            with closing(sqlite3.connect(self._path)) as database:
                yield from self._missing(database)
        except sqlite3.DatabaseError as error:
            yield f"cannot be read: {error}"

    def _missing(self, database: sqlite3.Connection) -> Iterator[str]:
        (state,) = database.execute("pragma quick_check").fetchone()
        if state != "ok":
            yield f"is corrupt: {state}"
        for name, query in QUERIES.items():
            found = (
                {row[0] for row in database.execute(query)}
                if any(self.answered.values())
                else set()
            )
            if name == "refused" and found & self.answered[name]:
                yield f"has {len(found & self.answered[name])} messages that were refused"
            if name != "refused" and self.answered[name] - found:
                yield f"lacks {name}"


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux" or not shutil.which("gcc"):
        missing("the recorder wants Linux and gcc")
    made = tmp_path_factory.mktemp("recorder") / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", made, source, "-ldl"], check=True)
    return made


def _run(recorder: Path, folder: Path, template: Path) -> bytes:
    """The log of the program run twice on one database, so that it is closed, and opened again, in between."""
    database, log = folder / "smsgw.db", folder / "log"
    settings = environment(
        SMSGW_DATABASE_URL=f"sqlite:///{database}",
        SMSGW_SEGMENTS_PER_MINUTE="100000",
        SMSGW_IN_FLIGHT_PER_DEVICE="100000",
        RECORDER_DATABASE=str(database),
        RECORDER_LOG=str(log),
        RECORDER_FAULT=str(folder / "fault"),
    )
    content = template.read_bytes()
    database.write_bytes(content)
    log.write_bytes(
        HEADER.pack(b"W", b"\1", 0, 0, len(content))
        + content
        + HEADER.pack(b"B", b"\1", 0, 0, 0)
        + HEADER.pack(b"E", b"\1", 0, 0, 0)
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-m", "tests.powercut.program", str(ROUNDS), seed],
            cwd=ROOT,
            env={**settings, "LD_PRELOAD": str(recorder)},
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return log.read_bytes()


@pytest.mark.timeout(120 + CUTS + 2 * ROUNDS)
def test_nothing_that_was_told_is_lost_and_nothing_refused_is_there_after_a_power_cut(
    recorder: Path, sqlite_template: Path, tmp_path: Path
):
    log = _run(recorder, tmp_path, sqlite_template)
    moments = [number for number, record in enumerate(records(log)) if record[0] in "SE"]
    chance = random.Random(len(log))
    cuts = set(chance.sample(moments, min(CUTS, len(moments)))) | {moments[-1]}
    disk, wrong, kinds = Disk(tmp_path, chance), Counter[str](), Counter[Any]()
    for number, (kind, file, thread, offset, data) in enumerate(records(log)):
        kinds[kind, file] += 1
        if kind == "S":
            what, ids = json.loads(data)
            disk.answered[what].update(ids)
        else:
            disk.files[file].apply(kind, thread, offset, data)
        if number in cuts or (kind == "S" and what == "refused"):
            wrong.update(disk.faults())
    assert kinds["F", 2] > 0, "no sync has failed"
    assert disk.answered["refused"], "nobody was refused"
    assert all(disk.answered.values()), {name: len(ids) for name, ids in disk.answered.items()}
    assert not wrong
