"""`restore` and `release`: a backup comes back whole, and nothing that it has in its queue goes out twice."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smsgw import settings as settings_module
from smsgw.delivery import worker
from smsgw.server import preparation
from smsgw.store import migrations
from smsgw.store.db import Database
from tests.cli.conftest import Ask, Run
from tests.conftest import POSTGRESQL_PROGRAMS, World
from tests.running import environment, serving, until

NUMBER = "+12025550123"
# Restores, and is killed when half of the backup is with PostgreSQL.
KILLED = """
import os
from smsgw.cli.entry import root
from smsgw.core.operations import restoring

def write(programs, file, target):
    text = programs.run("pg_restore", "--no-owner", "--file=-", str(file), is_connected=False)
    target.write(text[: text.index("COPY ") + 200].encode())
    target.flush()
    os.kill(os.getpid(), 9)

restoring._write_archive = write
root()
"""


def _send(world: World, content: str) -> str:
    answer = world.client.post(
        "/api/v1/messages", json={"to": NUMBER, "content": content}, headers=world.as_crm()
    )
    assert answer.status_code == 202
    return str(answer.json["id"])


def _poll(world: World, **updates: Any) -> list[str]:
    answer = world.client.post(
        "/api/sms", json={"messages": [], **updates}, headers=world.as_device()
    )
    assert answer.status_code == 200
    return [message["content"] for message in answer.json["messages"]]


def _message(world: World, message_id: str) -> dict[str, Any]:
    found: dict[str, Any] = world.client.get(
        f"/api/v1/messages/{message_id}", headers=world.as_crm()
    ).json
    return found


def _interrupt(*_: Any) -> None:
    raise OSError("interrupted")


@pytest.fixture
def restore(world: World, ask: Ask, tmp_path: Path):
    """Restores the backup that was made before, while this process has no connection open."""

    def run_restore(path: Path) -> Any:
        world.leave()
        return ask("restore", str(path), "--yes")

    return run_restore


def test_nothing_of_an_older_backup_is_sent_twice(
    world: World, run: Run, ask: Ask, restore: Any, tmp_path: Path
):
    in_hand = _send(world, "in hand")
    assert _poll(world) == ["in hand"]
    queued = _send(world, "queued")
    ask("backup", str(tmp_path / "kept"))
    assert "queued" in _poll(world)
    _send(world, "later")
    done = restore(tmp_path / "kept")
    assert (done["held_count"], done["unconfirmed_count"]) == (1, 1)
    assert done["lost"] == {"messages": 1, "devices": 0, "crms": 0}
    assert _poll(world) == _poll(world) == []
    found = _message(world, in_hand)
    assert (found["status"], found["reason_class"]) == ("failed", "unconfirmed")
    found = _message(world, queued)
    assert (found["status"], found["waiting_for"]["hop"]) == ("queued", "held")
    assert "held since a backup" in found["history"][-1]["reason"]
    assert "1 waiting since a restore or 'db reopen'" in " ".join(run("doctor").output.split())
    # What comes after the restore goes out as always.
    _send(world, "new")
    assert _poll(world) == ["new"]
    assert ask("release", "--before", "1h") == {"released_count": 0}
    assert ask("release", "--crm", "clinic") == {"released_count": 1}
    assert _poll(world) == ["queued"]
    actions = [entry["action"] for entry in ask("audit")["data"]]
    assert {"queue.release", "database.restore"} <= set(actions)


def test_what_is_held_can_be_cancelled(world: World, ask: Ask, restore: Any, tmp_path: Path):
    first = _send(world, "one")
    ask("backup", str(tmp_path / "kept"))
    restore(tmp_path / "kept")
    assert ask("release", "--cancel") == {"cancelled_count": 1}
    assert _message(world, first)["status"] == "cancelled"
    assert _poll(world) == []


def test_of_a_backup_without_messages_no_newest_one_is_named(
    world: World, run: Run, ask: Ask, tmp_path: Path
):
    ask("backup", str(tmp_path / "copy"))
    world.leave()
    said = run("restore", str(tmp_path / "copy"), "--yes").output
    assert "Restored 0 messages" in said
    assert "newest of" not in said


def test_an_sqlite_file_is_kept_beside_without_its_log(
    world: World, ask: Ask, restore: Any, tmp_path: Path
):
    ask("backup", str(tmp_path / "copy"))
    later = _send(world, "later")
    done = restore(tmp_path / "copy")
    if not world.database.is_sqlite:
        assert done["kept"] is None
        return
    path = Path(str(world.database.url.database))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(done["kept"])) as kept:
        assert kept.execute("SELECT id FROM messages").fetchall() == [(later,)]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_backup_is_refused(
    world: World, run: Run, tmp_path: Path, content: bytes
):
    path = tmp_path / "hostile"
    path.write_bytes(content)
    world.leave()
    refused = run("restore", str(path), "--yes")
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1
    assert "Traceback" not in refused.output
    missing = run("restore", str(tmp_path / "nothing"), "--yes")
    assert missing.output == f"Error: {tmp_path}/nothing: No such file or directory\n"
    assert _send(world, "still there")


@pytest.mark.parametrize(
    ("beginning", "kind"), [(b"SQLite format 3\0", "SQLite"), (b"PGDMP", "PostgreSQL")]
)
def test_a_backup_of_the_other_kind_is_refused_with_the_way_there(
    world: World, run: Run, tmp_path: Path, beginning: bytes, kind: str
):
    path = tmp_path / "kept"
    path.write_bytes(beginning + b"x" * 5000)
    world.database.close()
    refused = run("restore", str(path), "--yes")
    assert refused.exit_code == 1
    is_same = (kind == "SQLite") == world.database.is_sqlite
    assert ("copy --to URL" in refused.output) != is_same


def test_a_backup_is_restored_where_the_folder_of_the_database_is_missing(
    sqlite_template: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SMSGW_DATABASE_URL", f"sqlite:///{tmp_path}/data/smsgw.db")
    done = run("restore", str(sqlite_template))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "data" / "smsgw.db").exists()


def test_a_newer_or_foreign_sqlite_file_is_refused(
    sqlite_template: Path, settings, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SMSGW_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    for statement, words in (
        ("UPDATE alembic_version SET version_num = '9999'", "is at revision 9999"),
        (
            "CREATE TRIGGER t AFTER INSERT ON messages BEGIN SELECT 1; END",
            "not a database of smsgw",
        ),
    ):
        path = shutil.copy(sqlite_template, tmp_path / "other")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode=delete")
            connection.execute(statement)
        assert words in run("restore", str(path)).output
    assert not (tmp_path / "new.db").exists()


def test_a_backup_of_an_older_version_is_upgraded(
    settings, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    old = tmp_path / "old"
    with closing(Database(f"sqlite:///{old}")) as database:
        migrations.upgrade(database, "0007")
    monkeypatch.setenv("SMSGW_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    assert ask("restore", str(old))["revision"] == migrations.head()
    assert ask("restore", str(old))["kept"].startswith(f"{tmp_path}/new.db.before-restore-")


@pytest.mark.parametrize("step", ["migrations.upgrade_restored", "hold"])
def test_nobody_uses_a_database_of_postgresql_whose_restore_was_interrupted(
    new_postgresql_url: str, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path, step
):
    monkeypatch.setenv("SMSGW_DATABASE_URL", new_postgresql_url)
    run("init")
    ask("backup", str(tmp_path / "kept"))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(f"smsgw.core.operations.restoring.{step}", _interrupt)
        assert run("restore", str(tmp_path / "kept"), "--yes").exit_code != 0
    words = "restoring a backup into this database was interrupted"
    for command in ("db upgrade", "db check", "init", "message list", "backup other", "doctor"):
        refused = run(*command.split())
        assert (refused.exit_code, words in " ".join(refused.output.split())) == (1, True), command
    fault = preparation.prepare(replace(settings_module.load(), database_url=new_postgresql_url))
    assert words in str(fault)
    with closing(Database(new_postgresql_url)) as database:
        assert words in worker._hindrance(database)
    assert ask("restore", str(tmp_path / "kept"), "--yes")["counts"]["devices"] == 1
    assert ask("db", "check")["up_to_date"]


def test_a_restore_that_is_killed_while_it_loads_leaves_postgresql_as_it_was(
    new_postgresql_url: str, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SMSGW_DATABASE_URL", new_postgresql_url)
    run("init")
    ask("backup", str(tmp_path / "kept"))
    before = ask("crm", "add", "later")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, "restore", str(tmp_path / "kept"), "--yes"], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    until(lambda: run("crm", "list").exit_code == 0, "PostgreSQL to undo it")
    assert before["name"] in run("crm", "list").output
    done = until(lambda: run("restore", str(tmp_path / "kept"), "--yes"), "a second restore")
    assert done.exit_code == 0, done.output


def test_an_sqlite_database_is_whole_where_restoring_stops_before_the_last_step(
    world: World, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    if not world.database.is_sqlite:
        return
    ask("backup", str(tmp_path / "copy"))
    later = _send(world, "later")
    path = Path(str(world.database.url.database))
    # As after kill -9 of a server: what is newest is in the log alone.
    crashed = tmp_path / "crashed.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    assert Path(f"{crashed}-wal").stat().st_size
    monkeypatch.setenv("SMSGW_DATABASE_URL", f"sqlite:///{crashed}")
    monkeypatch.setattr("smsgw.core.operations.restoring.os.replace", _interrupt)
    assert run("restore", str(tmp_path / "copy")).exit_code == 1
    with closing(sqlite3.connect(crashed)) as found:
        assert found.execute("SELECT id FROM messages").fetchall() == [(later,)]


def test_restoring_waits_for_the_server_to_stop_and_works_after_kill_9(
    database_url: str, settings, tmp_path: Path
):
    env = environment(
        SMSGW_DATABASE_URL=database_url, PATH=f"{POSTGRESQL_PROGRAMS}:{os.environ['PATH']}"
    )

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "smsgw", *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    with serving(tmp_path, database_url) as server:
        made = command("backup", str(tmp_path / "kept"), "--json")
        assert made.returncode == 0, made.stderr
        refused = command("restore", str(tmp_path / "kept"), "--yes")
        assert refused.returncode == 1
        assert " is in use: stop" in refused.stderr or "stop all servers and" in refused.stderr
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    # The processes below the supervisor notice that it is gone.
    done = until(
        lambda: (
            ended
            if (ended := command("restore", str(tmp_path / "kept"), "--yes", "--json")).stdout
            else None
        ),
        "the server's processes to end",
    )
    assert json.loads(done.stdout)["counts"].keys() == json.loads(made.stdout)["counts"].keys()
