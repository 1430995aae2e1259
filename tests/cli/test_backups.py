"""`backup`: whole, private and checked files of a database that is in use."""

import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smsgw.store.db import Database
from smsgw.store.postgresql_programs import Programs
from tests.cli.conftest import Ask, Run
from tests.conftest import World


@pytest.fixture
def busy(world: World) -> Iterator[Callable[[], int]]:
    """A phone that polls and a CRM that queues without a pause, until the call that returns how many were queued."""
    over, counts = threading.Event(), []

    def work() -> None:
        while not over.is_set():
            answer = world.client.post(
                "/api/v1/messages",
                json={"to": "+12025550123", "content": "x"},
                headers=world.as_crm(),
            )
            counts.append(answer.status_code == 202)
            world.client.post("/api/sms", json={"messages": []}, headers=world.as_device())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()

    def stop() -> int:
        over.set()
        for thread in threads:
            thread.join()
        assert all(counts)
        return len(counts)

    yield stop
    over.set()


def test_a_backup_is_whole_and_private_while_phones_poll(
    busy: Callable[[], int], run: Run, ask: Ask, tmp_path: Path
):
    path = tmp_path / "kept"
    found = [ask("backup", str(path), "--replace") for _ in range(3)]
    assert busy() >= found[-1]["counts"]["messages"] >= found[0]["counts"]["messages"]
    assert found[-1]["counts"]["devices"] == found[-1]["counts"]["crms"] == 1
    assert found[-1]["size"] == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [name for name in os.listdir(tmp_path) if name.startswith((".kept", "kept-"))]
    assert "messages, 1 phone, 1 CRM, " in run("backup", str(tmp_path / "other")).output


def test_a_file_is_replaced_only_when_that_is_said(world: World, run: Run, tmp_path: Path):
    path = tmp_path / "kept"
    path.write_text("mine")
    refused = run("backup", str(path))
    assert (refused.exit_code, path.read_text()) == (1, "mine")
    assert refused.output == f"Error: {path} is there already: give another name, or --replace\n"
    assert run("backup", str(path), "--replace").exit_code == 0
    own = str(world.database.url.database)
    if world.database.is_sqlite:
        assert "is the database itself" in run("backup", own, "--replace").output


def test_a_place_that_cannot_be_written_is_named_in_one_line(
    world: World, run: Run, tmp_path: Path
):
    path = tmp_path / "nowhere" / "kept"
    assert run("backup", str(path)).output == (
        f"Error: {path}: there is no folder {path.parent}: make it first\n"
    )


def test_a_full_disk_is_named_in_one_line_and_leaves_no_file(database: Database, tmp_path: Path):
    """With a limit on the size of files, as on a full disk, writing fails in the middle."""
    url = database.url.render_as_string(hide_password=False)
    ended = subprocess.run(
        [
            "sh",
            "-c",
            "ulimit -f 16; trap '' XFSZ; exec .venv/bin/python -m smsgw backup $0/kept",
            tmp_path,
        ],
        env={**os.environ, "SMSGW_DATABASE_URL": url, "SMSGW_SECRET_KEY": "k" * 64},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1
    assert not [name for name in os.listdir(tmp_path) if "kept" in name]


def test_a_missing_pg_dump_is_named_with_what_to_install(
    new_postgresql_url: str, settings, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SMSGW_DATABASE_URL", new_postgresql_url)
    run("db", "upgrade")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("smsgw.store.postgresql_programs._FOLDERS", ())
    refused = run("backup", str(tmp_path / "kept"))
    assert refused.exit_code == 1
    assert "pg_dump is not installed" in refused.output
    assert "apt install postgresql-client-18" in refused.output


def test_a_pg_dump_older_than_the_server_is_named_with_what_to_install(
    new_postgresql_url: str, settings, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SMSGW_DATABASE_URL", new_postgresql_url)
    run("db", "upgrade")
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("smsgw.store.postgresql_programs._FOLDERS", ())
    (tmp_path / "made").write_text("PGDMP")
    for command in (
        ["backup", str(tmp_path / "new")],
        ["restore", "--yes", str(tmp_path / "made")],
    ):
        refused = run(*command)
        assert (refused.exit_code, refused.output) == (
            1,
            "Error: pg_dump is version 15 and the server is version 18: "
            "install PostgreSQL's programs (Debian: apt install postgresql-client-18)\n",
        )
    assert not (tmp_path / "new").exists()


def test_a_password_is_in_no_command_line(database: Database):
    secret = Database("postgresql://me:s3cret@db.example.org/sms?sslmode=verify-full")
    programs = Programs(secret.engine, Path("/usr/bin"))
    assert "s3cret" not in " ".join(programs.command("pg_dump"))
    assert programs.environment()["PGPASSWORD"] == "s3cret"
