"""SQLite's transactions in groups: each whole or not at all, all on the disk before anybody knows of them."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw.store import group_commit
from smsgw.store.db import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'notes.db'}")
    opened.create()
    with opened.transaction() as session:
        session.execute(
            sa.text(
                "create table notes (id integer primary key, answers integer, "
                "foreign key (answers) references notes(id) deferrable initially deferred)"
            )
        )
    yield opened
    opened.close()


class Driver:
    """The connection that writes, with its statements written down and some of them refused."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.statements: list[str] = []
        self.refusals: dict[str, Exception] = {}
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self.statements.append(statement)
        if statement in self.refusals:
            raise self.refusals.pop(statement)
        return self._connection.execute(statement, *values)

    def commits(self) -> int:
        return self.statements.count("COMMIT")


@pytest.fixture
def driver(database: Database) -> Driver:
    commit: Any = database._group_commit
    commit._connection = Driver(commit._connection)
    return commit._connection


class Writers:
    """Threads with a transaction each, all of which begin while another one is open."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._pool = ThreadPoolExecutor(16)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Those that are started in here wait for the transaction that writes 0."""
        with self.database.transaction() as session:
            _insert(session, 0)
            yield
            time.sleep(0.3)

    def start(self, key: int, **more: Any) -> "Future[None]":
        started = self._pool.submit(self._write, key, **more)
        time.sleep(0.02)
        return started

    def _write(self, key: int, answers: int | None = None, fails: bool = False) -> None:
        with self.database.transaction() as session:
            _insert(session, key, answers)
            if fails:
                raise LookupError

    def ids(self) -> list[int]:
        with self.database.reading() as session:
            return list(session.scalars(sa.text("select id from notes order by id")))

    def end(self) -> None:
        self._pool.shutdown()


def _insert(session: Any, key: int, answers: int | None = None) -> None:
    session.execute(
        sa.text("insert into notes values (:key, :answers)"), {"key": key, "answers": answers}
    )


@pytest.fixture
def writers(database: Database) -> Iterator[Writers]:
    made = Writers(database)
    yield made
    made.end()


def test_transactions_that_wait_for_each_other_share_one_commit(
    writers: Writers, driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "MOST_GROUP_SECONDS", 60.0)
    with writers.held_up():
        started = [writers.start(key) for key in range(1, 6)]
    for one in started:
        one.result(20)
    assert writers.ids() == [0, 1, 2, 3, 4, 5]
    assert driver.commits() == 1


def test_a_group_that_is_old_is_committed_although_others_wait(
    writers: Writers, driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "MOST_GROUP_SECONDS", 0.0)
    with writers.held_up():
        started = [writers.start(key) for key in range(1, 6)]
    for one in started:
        one.result(20)
    assert driver.commits() == 6


def test_a_transaction_that_fails_takes_no_other_with_it(writers: Writers, driver: Driver):
    with writers.held_up():
        good = [writers.start(key) for key in (1, 2)]
        bad = writers.start(3, fails=True)
        twin = writers.start(0)
        good.append(writers.start(4))
    for one in good:
        one.result(20)
    assert isinstance(bad.exception(20), LookupError)
    assert isinstance(twin.exception(20), sa.exc.IntegrityError)
    assert writers.ids() == [0, 1, 2, 4]


def test_a_first_transaction_that_fails_takes_no_other_with_it(writers: Writers):
    def fail() -> None:
        with writers.held_up():
            others.extend(writers.start(key) for key in (1, 2))
            raise LookupError

    others: list[Any] = []
    with pytest.raises(LookupError):
        fail()
    for one in others:
        one.result(20)
    assert writers.ids() == [1, 2]


def test_one_transaction_sees_what_those_before_it_in_the_group_have_written(writers: Writers):
    with writers.held_up():
        answer = writers.start(1, answers=0)
    answer.result(20)
    assert writers.ids() == [0, 1]


def test_nobody_goes_on_and_nobody_reads_before_the_commit(writers: Writers, database: Database):
    with database.transaction() as session:
        _insert(session, 0)
        started = [writers.start(1), writers.start(2, fails=True)]
        time.sleep(0.3)
        assert not any(one.done() for one in started)
        assert writers.ids() == []


def test_a_commit_that_fails_fails_for_all_also_for_those_that_only_read_or_gave_up(
    writers: Writers, driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "MOST_GROUP_SECONDS", 60.0)
    driver.refusals["COMMIT"] = sqlite3.OperationalError("disk I/O error")
    started: list[Any] = []

    def fail() -> None:
        with writers.held_up():
            started.extend([writers.start(1), writers.start(2, fails=True), writers.start(3)])

    with pytest.raises(sa.exc.OperationalError, match="disk I/O error"):
        fail()
    for one in started:
        with pytest.raises(sa.exc.OperationalError, match="disk I/O error"):
            one.result(20)
    assert writers.ids() == []
    writers.start(4).result(20)
    assert writers.ids() == [4]


def test_what_a_commit_refuses_is_told_to_all_and_the_next_group_goes_on(writers: Writers):
    with pytest.raises(sa.exc.IntegrityError):
        writers._write(1, answers=99)
    writers.start(2).result(20)
    assert writers.ids() == [2]


def test_a_commit_without_memory_is_told_to_all_and_nobody_hangs(
    writers: Writers, driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "MOST_GROUP_SECONDS", 60.0)
    driver.refusals["COMMIT"] = MemoryError()
    started: list[Any] = []

    def hold_up() -> None:
        with writers.held_up():
            started.extend(writers.start(number) for number in (1, 2))

    with pytest.raises(MemoryError):
        hold_up()
    assert [type(one.exception(20)) for one in started] == [MemoryError, MemoryError]
    writers.start(3).result(20)
    assert writers.ids() == [3]


def test_a_transaction_that_sqlite_itself_ends_is_lost_for_all_of_its_group(
    writers: Writers, database: Database, driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    """As it does where the disk is full."""

    def lose() -> None:
        with database.transaction() as session:
            _insert(session, 9)
            driver.execute("ROLLBACK")
            raise sa.exc.OperationalError("INSERT", None, sqlite3.OperationalError("disk is full"))

    monkeypatch.setattr(group_commit, "MOST_GROUP_SECONDS", 60.0)
    started: list[Any] = []

    def hold_up() -> None:
        with writers.held_up():
            started.append(writers.start(1))
            started.append(writers._pool.submit(lose))

    with pytest.raises(sa.exc.OperationalError, match="rolled back"):
        hold_up()
    with pytest.raises(sa.exc.OperationalError, match="rolled back"):
        started[0].result(20)
    with pytest.raises(sa.exc.OperationalError, match="disk is full"):
        started[1].result(20)
    assert writers.ids() == []
    writers.start(4).result(20)
    assert writers.ids() == [4]


def test_who_cannot_join_a_group_ends_it_and_nobody_hangs(
    writers: Writers, driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "MOST_GROUP_SECONDS", 60.0)
    driver.refusals["SAVEPOINT member"] = sqlite3.OperationalError("out of memory")
    with writers.held_up():
        started = [writers.start(key) for key in (1, 2)]
    with pytest.raises(sa.exc.OperationalError, match="out of memory"):
        started[0].result(20)
    started[1].result(20)
    assert writers.ids() == [0, 2]


def test_who_waits_too_long_is_refused_and_those_behind_are_let_in(
    writers: Writers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "PATIENCE_SECONDS", 0.2)
    with writers.held_up():
        late = writers.start(1)
        with pytest.raises(sa.exc.OperationalError, match="database is locked"):
            late.result(20)
        monkeypatch.setattr(group_commit, "PATIENCE_SECONDS", 60.0)
        patient = writers.start(2)
    patient.result(20)
    assert writers.ids() == [0, 2]


def test_who_finds_the_file_locked_by_another_program_is_refused(
    writers: Writers, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(group_commit, "PATIENCE_SECONDS", 0.3)
    with closing(sqlite3.connect(str(database.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = [writers.start(key) for key in (1, 2)]
        for one in started:
            with pytest.raises(sa.exc.OperationalError, match="database is locked"):
                one.result(20)
    writers.start(3).result(20)
    assert writers.ids() == [3]


def test_many_threads_lose_nothing_and_see_nothing_of_what_failed(writers: Writers):
    def work(first: int) -> None:
        for key in range(first, first + 40):
            with suppress(LookupError):
                writers._write(key, fails=key % 5 == 0)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = [1000 * n + k for n in range(1, 9) for k in range(40) if k % 5]
    assert writers.ids() == expected


def test_closing_leaves_the_group_that_writes_in_peace(writers: Writers, database: Database):
    with writers.held_up():
        started = [writers.start(key) for key in (1, 2)]
        database.close()
    for one in started:
        one.result(20)
    assert writers.ids() == [0, 1, 2]


def test_a_connection_syncs_its_log_at_each_commit_and_checks_references(database: Database):
    with database.transaction() as session, database.reading() as reader:
        for one in (session, reader):
            pragma = {
                name: one.execute(sa.text(f"pragma {name}")).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
            assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
