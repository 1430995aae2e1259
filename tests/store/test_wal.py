"""What a write transaction on SQLite has committed is on the disk when it ends, and only it waits for that."""

import errno
import fcntl
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw.core import crms
from smsgw.store import wal
from smsgw.store.db import Database
from smsgw.store.models import Crm

from ..conftest import NOW


@pytest.fixture
def path(tmp_path, sqlite_template):
    copied = tmp_path / "smsgw.db"
    copied.write_bytes(sqlite_template.read_bytes())
    return copied


@pytest.fixture
def opened(path):
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


class Disk:
    """What a power cut would leave: the files as they were when the log was synced last."""

    def __init__(self, path, monkeypatch):
        self.image = path.parent / "image.db"
        self.syncs = []
        self._path = path
        monkeypatch.setattr(wal, "_sync", self.sync)

    def sync(self, descriptor):
        synced = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self.syncs.append(synced)
        shutil.copy(self._path, self.image)
        shutil.copy(synced, f"{self.image}-wal")

    def names(self):
        """The CRMs that would be there after the power cut."""
        with closing(sqlite3.connect(self.image)) as connection:
            return [name for (name,) in connection.execute("select name from crms order by name")]


@pytest.fixture
def disk(opened, path, monkeypatch):
    return Disk(path, monkeypatch)


def test_what_a_transaction_has_committed_is_there_after_a_power_cut(opened, disk, path):
    for count, name in enumerate(("ann", "bob", "cid"), start=1):
        with opened.transaction() as session:
            crms.add(session, name, None, NOW)
        assert disk.names() == ["ann", "bob", "cid"][:count]
    assert disk.syncs == [Path(f"{path}-wal")] * 3


def test_what_went_in_together_with_others_is_there_too(opened, disk):
    row = {
        "id": "crm_1",
        "name": "ann",
        "key_hash": "x",
        "uses_all_devices": True,
        "strict_numbers": False,
        "enabled": True,
        "created_at": NOW,
    }
    opened.insert_together({Crm: [row]})
    assert disk.names() == ["ann"]


def test_it_is_there_when_the_log_was_begun_anew_meanwhile(opened, disk, path):
    with opened.transaction() as session:
        crms.add(session, "ann", None, NOW)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma wal_checkpoint(restart)").fetchone()[0] == 0
    with opened.transaction() as session:
        crms.add(session, "bob", None, NOW)
    assert disk.names() == ["ann", "bob"]


def test_a_transaction_that_fails_syncs_nothing(opened, disk):
    def fail():
        with opened.transaction() as session:
            crms.add(session, "ann", None, NOW)
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert disk.syncs == []


def test_others_write_while_the_disk_is_slow(opened, path, monkeypatch):
    other = Database(f"sqlite:///{path}")
    written = []

    def sync(_descriptor):
        # While this one waits for its disk; the other's own commit comes here again, and does not.
        if not written:
            written.append("bob")
            with open(f"{path}-turn") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with other.transaction() as session:
                crms.add(session, "bob", None, NOW)

    monkeypatch.setattr(wal, "_sync", sync)
    with opened.transaction() as session:
        crms.add(session, "ann", None, NOW)
    other.close()
    with opened.reading() as session:
        assert sorted(session.scalars(sa.select(Crm.name))) == ["ann", "bob"]
    assert written == ["bob"]


def test_a_disk_that_fails_is_an_error_and_no_success(opened, monkeypatch):
    def sync(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def add():
        with opened.transaction() as session:
            crms.add(session, "ann", None, NOW)

    monkeypatch.setattr(wal, "_sync", sync)
    with pytest.raises(sa.exc.OperationalError, match="Input/output error"):
        add()


def test_a_connection_uses_the_log_and_checks_references(opened):
    with opened.engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"pragma {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}


def test_without_a_log_commits_wait_for_the_disk():
    with closing(sqlite3.connect(":memory:")) as connection:
        wal.prepare(connection)
        assert connection.execute("pragma journal_mode").fetchone() == ("memory",)
        assert connection.execute("pragma synchronous").fetchone() == (2,)
    wal.WriteAheadLog("/nowhere/smsgw.db").sync()
