"""The doorbell on real databases: rings for what others commit, and comes back after the server was away."""

import threading

import pytest
import sqlalchemy as sa

from smsgw.live.wakeup import doorbell
from smsgw.store.db import Database, wake_up
from smsgw.store.models import Operator
from tests.conftest import NOW

PATIENCE_SECONDS = 30


def write(database, name, wakes_up=False):
    with database.transaction() as session:
        session.add(Operator(name=name, key_hash=name, created_at=NOW))
        if wakes_up:
            wake_up(session)


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def bell(database, stop):
    made = doorbell(database, stop)
    if not database.is_sqlite:
        assert made.wait(PATIENCE_SECONDS)  # the first time it has just begun to listen
    yield made
    made.close()


def quieten(bell):
    while bell.wait(0.2):
        pass


def test_it_is_silent_while_nothing_is_written(bell):
    quieten(bell)
    assert bell.wait(0.05) is False


def test_it_rings_for_a_commit_of_another_process(database, bell, database_url):
    quieten(bell)
    other = Database(database_url)
    write(other, "a", wakes_up=True)
    other.close()
    assert bell.wait(PATIENCE_SECONDS) is True


def test_it_wakes_a_waiting_thread(database, bell):
    quieten(bell)
    heard = []
    listener = threading.Thread(target=lambda: heard.append(bell.wait(PATIENCE_SECONDS)))
    listener.start()
    write(database, "a", wakes_up=True)
    listener.join(PATIENCE_SECONDS)
    assert heard == [True]


def test_nobody_waits_for_it_after_the_end(bell, stop):
    quieten(bell)
    listener = threading.Thread(target=bell.wait, args=(10 * PATIENCE_SECONDS,), daemon=True)
    listener.start()
    stop.set()
    listener.join(PATIENCE_SECONDS)
    assert not listener.is_alive()


def test_what_was_written_just_after_a_ring_rings_too(database, bell):
    quieten(bell)
    for name in "abc":
        write(database, name, wakes_up=True)
    assert bell.wait(PATIENCE_SECONDS) is True
    if not database.is_sqlite:
        assert bell.wait(PATIENCE_SECONDS) is True


def test_a_transaction_that_fails_rings_for_nobody(database, bell):
    quieten(bell)
    write(database, "a", wakes_up=True)
    quieten(bell)
    with pytest.raises(sa.exc.IntegrityError):
        write(database, "a", wakes_up=True)
    assert bell.wait(0.3) is False


def test_only_deliveries_ring_on_postgresql(database, bell):
    if database.is_sqlite:
        pytest.skip("SQLite rings for every commit")
    quieten(bell)
    write(database, "a")
    assert bell.wait(0.3) is False


def test_it_comes_back_after_its_connection_was_ended(database, bell):
    if database.is_sqlite:
        pytest.skip("SQLite has no server to lose")
    with database.reading() as session:
        session.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND query LIKE 'LISTEN%'"
            )
        )
    assert bell.wait(0.05) is False
    assert bell.wait(PATIENCE_SECONDS) is True
    quieten(bell)
    write(database, "a", wakes_up=True)
    assert bell.wait(PATIENCE_SECONDS) is True
