"""Rows of several threads in one transaction: all of them there once, each thread told what became of its own."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from smsgw.store import statements
from smsgw.store.db import Database
from smsgw.store.inserts import Insert
from smsgw.store.models import Operator
from smsgw.store.shared_inserts import Check, SharedInserts
from smsgw.store.statements import DriverConnection

from ..conftest import NOW


class Note(NamedTuple):
    id: int
    text: str
    answers: int | None


class NewOperator(NamedTuple):
    name: str
    key_hash: str
    created_at: datetime


OPERATORS = Insert(Operator, NewOperator)


@pytest.fixture
def notes(database: Database) -> Iterator[sa.Table]:
    """A table whose rows can be refused at the INSERT (no text) and at the COMMIT (an answer to nothing)."""
    parent = sa.ForeignKey("notes.id", deferrable=True, initially="DEFERRED")
    table = sa.Table(
        "notes",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("answers", sa.Integer, parent),
    )
    table.create(database.engine)
    yield table
    table.drop(database.engine)


class Writers:
    """Threads that write notes together, and the groups they were written in."""

    def __init__(self, database: Database, notes: sa.Table) -> None:
        self.groups: list[int] = []
        self._database, self._notes = database, notes
        self._insert = Insert(notes, Note)
        self._shared_inserts = SharedInserts(self._transaction)
        self._pool = ThreadPoolExecutor(16)

    @contextmanager
    def _transaction(self) -> Iterator[DriverConnection]:
        before = len(self.ids())
        with self._database._shared_transaction() as connection:
            yield connection
        self.groups.append(len(self.ids()) - before)

    def start(self, key: int, text: str | None = "hello", answers: int | None = None) -> Future:
        batch = self._insert.batch([Note(key, text, answers)])
        return self._pool.submit(self._shared_inserts.insert, [batch])

    def start_checked(self, key: int, text: str | None = "hello") -> Future:
        """The same where at most two rows with the same text may be there."""
        batch = self._insert.batch([Note(key, text, None)])
        check = Check(self._refusals, text)
        return self._pool.submit(self._shared_inserts.insert, [batch], check)

    def _refusals(
        self, connection: DriverConnection, texts: Sequence[str]
    ) -> list[Exception | None]:
        found = statements.execute(connection, "SELECT text FROM notes", (), gives_rows=True)
        counts = Counter(text for (text,) in found)
        refusals: list[Exception | None] = []
        for text in texts:
            counts[text] += 1
            refusals.append(ValueError("too many") if counts[text] > 2 else None)
        return refusals

    def ids(self) -> list[int]:
        with self._database.reading() as session:
            return list(session.scalars(sa.select(self._notes.c.id).order_by(self._notes.c.id)))

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Nobody gets to write in here: one waits for the database and the others for that one."""
        with self._database.transaction() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(sa.text("LOCK TABLE notes IN EXCLUSIVE MODE"))
            session.connection()
            self.first = self.start(0)
            time.sleep(0.2)
            yield
            time.sleep(0.2)

    def end(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def writers(database: Database, notes: sa.Table) -> Iterator[Writers]:
    made = Writers(database, notes)
    yield made
    made.end()


def test_many_threads_write_each_row_once_in_few_transactions(writers: Writers):
    with writers.held_up():
        started = [writers.start(key) for key in range(1, 13)]
    for one in started:
        one.result(20)
    assert writers.ids() == list(range(13))
    assert sum(writers.groups) == 13
    assert len(writers.groups) <= 2


def test_nobody_is_answered_or_seen_before_the_commit(writers: Writers):
    with writers.held_up():
        started = [writers.start(key) for key in range(1, 5)]
        time.sleep(0.3)
        assert not any(one.done() for one in [writers.first, *started])
        assert writers.ids() == []
    for one in started:
        one.result(20)
    assert writers.ids() == list(range(5))


def test_a_row_that_cannot_be_spoils_nobody_elses(writers: Writers):
    with writers.held_up():
        good = [writers.start(key) for key in (1, 2, 3)]
        bad = writers.start(4, text=None)
        twin = writers.start(0)
    for one in good:
        one.result(20)
    with pytest.raises(sa.exc.IntegrityError, match=r"(?i)not.null"):
        bad.result(20)
    outcomes = [one.exception(20) for one in (writers.first, twin)]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["IntegrityError", "NoneType"]
    assert writers.ids() == [0, 1, 2, 3]


def test_a_value_the_driver_cannot_take_spoils_nobody_elses(writers: Writers):
    with writers.held_up():
        good, bad = writers.start(1), writers.start(2, text="\ud800")
    good.result(20)
    with pytest.raises((UnicodeEncodeError, sa.exc.DBAPIError)):
        bad.result(20)
    assert writers.ids() == [0, 1]


def test_rows_that_a_check_refuses_are_left_out_and_their_callers_are_told(writers: Writers):
    with writers.held_up():
        started = [writers.start_checked(key, f"text {key % 2}") for key in range(1, 9)]
        free = writers.start(9, "text 0")
    free.result(20)
    outcomes = [one.exception(20) for one in started]
    assert sum(outcome is None for outcome in outcomes) == 4
    assert {type(outcome) for outcome in outcomes if outcome} == {ValueError}
    taken = {key for key, outcome in enumerate(outcomes, start=1) if outcome is None}
    assert set(writers.ids()) == {0, 9} | taken
    with pytest.raises(ValueError, match="too many"):
        writers.start_checked(10, "text 1").result(20)


def test_a_check_decides_anew_where_each_writes_alone_after_anothers_error(writers: Writers):
    with writers.held_up():
        started = [writers.start_checked(key, "same") for key in (1, 2, 3)]
        bad = writers.start(4, text=None)
    assert isinstance(bad.exception(20), sa.exc.IntegrityError)
    assert sum(one.exception(20) is None for one in started) == 2


def test_one_alone_gets_its_own_error(writers: Writers):
    with pytest.raises(sa.exc.IntegrityError):
        writers.start(1, text=None).result(20)
    writers.start(2).result(20)
    assert writers.ids() == [2]


def test_a_row_that_only_the_commit_refuses_spoils_nobody_elses(writers: Writers):
    with writers.held_up():
        good = [writers.start(key) for key in (1, 2)]
        bad = writers.start(3, answers=99)
    for one in good:
        one.result(20)
    with pytest.raises(sa.exc.IntegrityError, match=r"(?i)foreign key"):
        bad.result(20)
    assert writers.ids() == [0, 1, 2]


def test_a_commit_whose_end_is_unknown_is_told_to_all_and_tried_no_second_time():
    tried: list[int] = []
    is_waiting = threading.Event()

    @contextmanager
    def transaction() -> Iterator[DriverConnection]:
        yield DriverConnection(None, sa.make_url("sqlite://").get_dialect()())
        is_waiting.wait(20)
        tried.append(1)
        raise sa.exc.OperationalError("COMMIT", None, BrokenPipeError())

    shared = SharedInserts(transaction)
    with ThreadPoolExecutor(4) as pool:
        started = [pool.submit(shared.insert, []) for _ in range(4)]
        while len(shared._waiting) < 3:
            time.sleep(0.01)
        is_waiting.set()
        errors = [one.exception(20) for one in started]
    assert [type(error) for error in errors] == 4 * [sa.exc.OperationalError]
    assert len({id(error) for error in errors}) == 4
    assert len(tried) == 2


def test_a_transaction_that_ends_halfway_leaves_nothing(database: Database, notes: sa.Table):
    def insert(texts: Sequence[str]) -> None:
        with database._shared_transaction() as connection:
            for text in texts:
                rows.grouped(connection, [Note(len(text), text, None)])
            if len(texts) == 1:
                raise KeyError

    rows = Insert(notes, Note)
    with pytest.raises((UnicodeEncodeError, sa.exc.DBAPIError)):
        insert(["a", "\ud800b"])
    with pytest.raises(KeyError):
        insert(["abc"])
    insert(["abcd", "abcde"])
    with database.reading() as session:
        assert list(session.scalars(sa.select(notes.c.id).order_by(notes.c.id))) == [4, 5]


def test_groups_use_one_connection_until_it_fails_or_the_server_ends_it(database: Database):
    if database.is_sqlite:
        pytest.skip("SQLite's writers share one connection in any case")

    def connection_id() -> int:
        with database._shared_transaction() as connection:
            own_id = "SELECT pg_backend_pid()"
            ((found,),) = statements.execute(connection, own_id, (), gives_rows=True)
        return int(found)

    first = connection_id()
    assert connection_id() == first
    with pytest.raises(KeyError), database._shared_transaction():
        raise KeyError
    second = connection_id()
    assert second != first
    with database.reading() as session:
        end = sa.text("SELECT pg_terminate_backend(:own_id, 20000)")
        assert session.scalar(end, {"own_id": second})
    assert connection_id() not in (first, second)


def test_what_is_no_error_of_a_row_ends_the_group_and_nobody_hangs(
    writers: Writers, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise KeyError

    with writers.held_up():
        started = [writers.start(key) for key in (1, 2, 3)]
        monkeypatch.setattr("smsgw.store.inserts.Insert.grouped", fail)
    outcomes = [one.exception(20) for one in started]
    assert {type(outcome) for outcome in outcomes} <= {KeyError, RuntimeError}
    assert set(writers.ids()) <= {0}
    monkeypatch.undo()
    writers.start(4).result(20)
    assert 4 in writers.ids()


def test_a_transaction_that_cannot_begin_fails_and_the_next_one_is_tried():
    def refuse():
        raise BrokenPipeError

    shared = SharedInserts(refuse)
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            shared.insert([])


def test_the_database_may_be_closed_while_some_wait(database: Database):
    def add(number: int) -> None:
        batch = OPERATORS.batch([NewOperator(f"o{number}", f"h{number}", NOW)])
        database.insert_together([batch])

    threads = [threading.Thread(target=add, args=(number,), daemon=True) for number in range(8)]
    with database.transaction() as session:
        session.connection()
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        database.close()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Operator)) == 8
