"""`copy`: everything moves to the other kind of database, once, and only one of the two is served."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from smsgw.core.operations import copy_rows, in_use
from smsgw.server import preparation
from smsgw.store import migrations
from smsgw.store.db import Database
from smsgw.store.models import Message, WebhookEndpoint
from smsgw.store.tables import Table, plain
from tests.cli.conftest import Ask, Run
from tests.conftest import World, application
from tests.running import environment

NUMBER = "+12025550123"
# Copies in batches of three rows, and is killed after so many of them.
KILLED = """
import os, sys
from smsgw.cli.entry import root
from smsgw.core.operations import copy_rows

copy_rows.MOST_ROWS = 3
write, left = copy_rows.RowCopier._write, [int(sys.argv.pop(1))]

def write_and_die(self, table, batch):
    write(self, table, batch)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)

copy_rows.RowCopier._write = write_and_die
root()
"""

# Has a database open until it is killed.
USER = """
import sys
from smsgw.store.db import Database

with Database(sys.argv[1]).reading() as session:
    session.connection()
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def target_url(world: World, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of the other kind."""
    if world.database.is_sqlite:
        return str(request.getfixturevalue("new_postgresql_url"))
    return f"sqlite:///{tmp_path}/target.db"


@pytest.fixture
def copy(world: World, ask: Ask, target_url: str) -> Any:
    """Copies to the target, while this process has no connection open."""

    def run_copy() -> Any:
        world.leave()
        return ask("copy", "--to", target_url)

    return run_copy


@pytest.fixture
def moved(world: World, target_url: str) -> Iterator[World]:
    """The same people at a server on the target; ask for it after the copy."""
    database = Database(target_url)
    settings = replace(world.settings, database_url=target_url)
    yield replace(world, database=database, settings=settings)
    database.close()


@contextmanager
def _serving(moved: World) -> Iterator[World]:
    assert preparation.prepare(moved.settings) is None
    with application(moved.settings) as app:
        yield replace(moved, app=app)


def _send(world: World, content: str, **more: Any) -> str:
    body = {"to": NUMBER, "content": content, **more}
    answer = world.client.post("/api/v1/messages", json=body, headers=world.as_crm())
    assert answer.status_code == 202
    return str(answer.json["id"])


def _poll(world: World, **body: Any) -> list[dict[str, str]]:
    answer = world.client.post("/api/sms", json={"messages": [], **body}, headers=world.as_device())
    assert answer.status_code == 200
    found: list[dict[str, str]] = answer.json["messages"]
    return found


def _events(world: World, **query: Any) -> Any:
    answer = world.client.get("/api/v1/events", query_string=query, headers=world.as_crm())
    assert answer.status_code == 200
    return answer.json["data"]


def _live(world: World) -> str:
    """Lets some things happen; returns the secret of a webhook."""
    networks = (ip_network("127.0.0.0/8"),)
    services = world.app.extensions["smsgw"]
    services.settings = replace(services.settings, webhook_allowed_networks=networks)
    answer = world.client.post(
        "/api/v1/webhooks", json={"url": "http://127.0.0.1:9/hook"}, headers=world.as_crm()
    )
    _send(world, "in hand", reference="one", metadata={"a": [1, "é"]})
    (taken,) = _poll(world)
    inbound = {"id": "7", "from": NUMBER, "content": "€ 🙂", "sms_sent": 1, "sms_received": 2}
    _poll(world, updates=[{"id": taken["id"], "status": "SENT"}], messages=[inbound])
    for number in range(8):
        _send(world, f"queued {number}")
    return str(answer.json["secret"])


def test_all_is_there_afterwards_and_life_goes_on(
    world: World, copy: Any, moved: World, target_url: str
):
    secret = _live(world)
    events = _events(world, limit=100)
    done = copy()
    assert done["counts"]["messages"] == 10
    assert done["counts"]["devices"] == 1
    with _serving(moved) as served:
        assert _events(served, limit=100) == events
        assert _events(served, after=events[-1]["id"]) == []
        # The same request with the same reference is the same message.
        repeated = served.client.post(
            "/api/v1/messages",
            json={
                "to": NUMBER,
                "content": "in hand",
                "reference": "one",
                "metadata": {"a": [1, "é"]},
            },
            headers=served.as_crm(),
        )
        assert repeated.status_code == 200
        assert [message["content"] for message in _poll(served)] == [
            f"queued {n}" for n in range(8)
        ]
        later = _send(served, "later")
        assert [message["content"] for message in _poll(served)] == ["later"]
        new = _events(served, after=events[-1]["id"], limit=100)
        assert later in str(new)
        with served.database.reading() as session:
            kept = session.scalars(sa.select(WebhookEndpoint.secrets)).one()
        assert kept[0]["secret"] == secret


def test_each_row_is_the_same_after_a_copy_and_back(
    world: World, copy: Any, ask: Ask, target_url: str, moved: World, monkeypatch, tmp_path, request
):
    _live(world)
    world.leave()
    before = _rows(world.database)
    there = copy()
    back_url = f"sqlite:///{tmp_path}/back.db"
    if not world.database.is_sqlite:
        back_url = request.getfixturevalue("new_postgresql_url")
    monkeypatch.setenv("SMSGW_DATABASE_URL", target_url)
    back = ask("copy", "--to", back_url)
    assert set(there["counts"]) == set(back["counts"])
    with closing(Database(back_url)) as database:
        after = _rows(database)
    # Positions in the feed are the database's own; each copy leaves an entry.
    for changed in ("audit_entries", "database_copies", "events", "feed_base"):
        assert after.pop(changed) or changed == "database_copies"
        before.pop(changed)
    assert after == before


def _rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.reading() as session:
        return {
            table.name: sorted(map(tuple, session.execute(sa.select(table))), key=repr)
            for table in Table.metadata.sorted_tables
        }


def test_only_the_target_is_served_after_a_copy_and_the_way_back_sends_nothing_twice(
    world: World, run: Run, ask: Ask, copy: Any, target_url: str
):
    _live(world)
    copy()
    refused = preparation.prepare(world.settings)
    assert "this database was copied to" in str(refused)
    words = run("messages").output
    assert "was copied to" in " ".join(words.split())
    assert run("copy", "--to", target_url).exit_code == 1
    done = ask("db", "reopen")
    assert (done["had_ended"], done["held_count"]) == (True, 8)
    assert preparation.prepare(world.settings) is None
    assert _poll(world) == []
    assert ask("release") == {"released_count": 8}
    world.leave()
    assert "was not copied" in run("db", "reopen").output


@pytest.mark.parametrize("batches", [4, 30])
def test_a_copy_that_was_killed_goes_on_and_neither_is_served_meanwhile(
    world: World, run: Run, copy: Any, target_url: str, moved: World, batches: int
):
    _live(world)
    world.leave()
    command = [sys.executable, "-c", KILLED, str(batches), "copy", "--to", target_url]
    settings = environment(
        SMSGW_DATABASE_URL=world.settings.database_url, SMSGW_SECRET_KEY="k" * 64
    )
    killed = subprocess.run(command, env=settings, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "is being copied to" in str(preparation.prepare(world.settings))
    assert "unfinished copy" in str(preparation.prepare(moved.settings))
    done = copy()
    assert done["went_on"]
    assert done["counts"]["messages"] == 10
    with _serving(moved) as served:
        assert len(_poll(served)) == 8


def test_a_copy_that_was_given_up_leaves_the_source_as_it_was(
    world: World, run: Run, ask: Ask, target_url: str, monkeypatch: pytest.MonkeyPatch
):
    _live(world)
    world.leave()

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(copy_rows.RowCopier, "_copy", fail)
        stopped = " ".join(run("copy", "--to", target_url).output.split())
    assert "interrupted; repeat the command to go on, or give the copy up" in stopped
    assert ask("db", "reopen")["had_ended"] is False
    assert len(_poll(world)) == 8
    world.leave()
    words = " ".join(run("copy", "--to", target_url).output.split())
    assert "the target is the beginning of another copy" in words


def test_a_target_that_holds_anything_is_refused(
    world: World, run: Run, target_url: str, monkeypatch: pytest.MonkeyPatch
):
    with closing(Database(target_url)) as target:
        target.create()
        with target.transaction() as session:
            session.execute(sa.text("CREATE TABLE invoices (id INTEGER)"))
    world.leave()
    words = " ".join(run("copy", "--to", target_url).output.split())
    assert "tables of another program (invoices): give an empty database" in words
    assert _send(world, "the source is served as before")
    with closing(Database(target_url)) as target:
        with target.transaction() as session:
            session.execute(sa.text("DROP TABLE invoices"))
        migrations.upgrade(target)
    with monkeypatch.context() as other:
        other.setenv("SMSGW_DATABASE_URL", target_url)
        run("init")
    world.leave()
    words = " ".join(run("copy", "--to", target_url).output.split())
    assert "the target is not empty" in words
    assert "1 devices" in words
    same = run("copy", "--to", world.settings.database_url).output
    assert "the target is the source itself" in same


@pytest.mark.parametrize("used", ["source", "target"])
def test_a_source_or_a_target_in_use_is_refused(
    world: World, run: Run, target_url: str, monkeypatch: pytest.MonkeyPatch, used: str
):
    monkeypatch.setattr("smsgw.core.operations.in_use._PATIENCE_SECONDS", 0.1)
    with closing(Database(target_url)) as target:
        target.create()
        migrations.upgrade(target)
    world.leave()
    url = world.settings.database_url if used == "source" else target_url
    command = [sys.executable, "-c", USER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == b"open\n"
        refused = " ".join(run("copy", "--to", target_url).output.split())
        user.kill()
    assert f"the {used}: " in refused
    assert "stop" in refused


def test_who_leaves_postgresql_while_it_is_asked_is_not_in_the_way(new_postgresql_url: str):
    with closing(psycopg.connect(new_postgresql_url)) as leaving:
        leaver = threading.Timer(0.3, leaving.close)
        leaver.start()
        with closing(Database(new_postgresql_url)) as database:
            in_use.refuse(database)
        leaver.join()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "--to:"),
        ("sqlite:///:memory:", "--to: SQLite needs a file"),
        ("sqlite:////not/mounted/smsgw.db", "there is no folder for the target"),
        ("postgresql://nobody:hidden@127.0.0.1:1/none", "the target:"),
        ("sqlite:////etc/hostname", "it is damaged, or the file of another program"),
    ],
)
def test_a_url_that_leads_nowhere_is_named_without_its_password(
    world: World, run: Run, url: str, words: str
):
    world.leave()
    refused = run("copy", "--to", url)
    assert refused.exit_code != 0
    assert words in " ".join(refused.output.split())
    assert "hidden" not in refused.output
    assert "Traceback" not in refused.output


def test_a_target_that_takes_no_tables_leaves_the_source_as_it_was(
    world: World, run: Run, target_url: str, monkeypatch: pytest.MonkeyPatch
):
    world.leave()

    def refuse(_: Database) -> None:
        raise sa.exc.ProgrammingError("", {}, Exception("no rights"))

    with monkeypatch.context() as refused:
        refused.setattr(migrations, "upgrade", refuse)
        ended = run("copy", "--to", target_url)
    assert ended.output.strip().endswith("Error: the target: no rights")
    assert preparation.prepare(world.settings) is None


def test_what_postgresql_does_not_keep_is_replaced_and_counted(
    world: World, copy: Any, moved: World
):
    if not world.database.is_sqlite:
        pytest.skip("PostgreSQL has no text with NUL")
    message_id = _send(world, "before")
    with world.database.transaction() as session:
        rows = sa.update(plain(Message)).where(Message.id == message_id)
        session.execute(rows.values(content="a\0b"))
    assert copy()["replaced_count"] == 1
    with moved.database.reading() as session:
        assert session.scalars(sa.select(Message.content)).one() == "a\ufffdb"


def test_the_outcome_is_a_table_with_the_next_step(world: World, run: Run, target_url: str):
    _live(world)
    world.leave()
    done = run("copy", "--to", target_url)
    assert done.exit_code == 0
    words = " ".join(done.output.split())
    assert "both have as many rows in each table, and the same checksum" in words
    assert "Next: set SMSGW_DATABASE_URL=" in words
    assert "'copy' from there into a new, empty database" in words
    again = " ".join(run("copy", "--to", target_url).output.split())
    assert "this database was copied to" in again
    found = json.loads(run("doctor", "--json").output)
    checks = {finding["check"]: finding for finding in found["checks"]}
    assert "was copied to" in checks["copy"]["text"]
    assert "worker" not in checks
    assert "db reopen" in words
