"""A disk without room: what says so, within seconds, and what commands say."""

import json
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw.core.messages import queueing
from smsgw.core.operations import disks
from smsgw.core.operations.finding import Finding
from smsgw.settings import Settings
from smsgw.store.db import Database
from tests.cli.conftest import run as run_fixture
from tests.conftest import application

__all__ = ["run"]
run = run_fixture


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 24 MB, which only root may make, where PostgreSQL's user finds it too."""
    folder = Path(tempfile.mkdtemp(prefix="smsgw-disk-"))
    folder.chmod(0o755)
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0777", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def _fill(folder: Path) -> Path:
    """Write a file until there is no room left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            return path


def test_a_full_disk_is_named_by_readyz_and_doctor_and_ends_commands_in_one_line(
    run, settings: Settings, small_disk: Path, sqlite_template: Path, monkeypatch
):
    path = small_disk / "smsgw.db"
    path.write_bytes(sqlite_template.read_bytes())
    monkeypatch.setenv("SMSGW_DATABASE_URL", f"sqlite:///{path}")
    with application(replace(settings, database_url=f"sqlite:///{path}")) as app:
        assert app.test_client().get("/readyz").json["checks"]["disk"] == "warning"
        filler = _fill(small_disk)
        answer = app.test_client().get("/readyz")
        assert (answer.status_code, answer.json["checks"]) == (503, {"disk": "wrong"})
        (finding,) = json.loads(run("doctor", "--json").stdout)["checks"]
        assert finding["text"] == f"the disk of {small_disk} is full: 0 MB free"
        assert "free some space" in finding["advice"]
        for command in ("doctor", "crm add clinic", "device list", "init", "db upgrade"):
            ended = run(*command.split())
            assert isinstance(ended.exception, SystemExit | None), command
            assert len(ended.stderr.splitlines()) <= 1, command
        assert run("crm", "add", "clinic").exit_code == 1
        filler.unlink()
        assert run("crm", "add", "clinic").exit_code == 0
        assert app.test_client().get("/readyz").json["checks"]["disk"] == "warning"


@pytest.mark.parametrize("is_full", [True, False])
def test_a_full_database_promises_no_seconds_and_names_no_disk(world, monkeypatch, is_full: bool):
    cause = sqlite3.OperationalError("planted")
    cause.sqlite_errorcode = sqlite3.SQLITE_FULL if is_full else sqlite3.SQLITE_BUSY

    def fail(*_args, **_more):
        raise sa.exc.OperationalError("INSERT", {}, cause)

    monkeypatch.setattr(queueing, "prepare", fail)
    sms = {"to": "+12025550123", "content": "hello"}
    answer = world.client.post("/api/v1/messages", json=sms, headers=world.as_crm())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert ("operator of this server" in answer.json["message"]) == is_full
    assert ("a few seconds" in answer.json["message"]) != is_full
    assert "disk" not in answer.json["message"]


def test_a_disk_of_postgresql_that_is_full_is_named_too(
    small_disk: Path, postgresql_server: str, new_postgresql_url: str
):
    name = sa.make_url(new_postgresql_url).database
    engine = sa.create_engine(
        sa.make_url(postgresql_server).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        data = connection.exec_driver_sql("SHOW data_directory").scalar_one()
        os.chown(small_disk, os.stat(data).st_uid, -1)
        connection.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
        try:
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET temp_tablespaces = 'small'")
            assert _disk_of(new_postgresql_url).state == "ok"
            filler = _fill(small_disk)
            found = _disk_of(new_postgresql_url)
            filler.unlink()
        finally:
            connection.exec_driver_sql(f"ALTER DATABASE {name} RESET temp_tablespaces")
            connection.exec_driver_sql("DROP TABLESPACE small")
    engine.dispose()
    assert (found.check, found.state) == ("disk", "wrong")
    assert "No space left on device" in found.text


def _disk_of(url: str) -> Finding:
    with closing(Database(url)) as database:
        return disks.examine(database)
