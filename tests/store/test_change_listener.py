"""Tests the change listener on real databases: it reports what others commit, and reconnects after an outage."""

import sys
import threading
import time
from unittest.mock import Mock

import inotify_simple
import pytest
import sqlalchemy as sa

from smsgw.store.change_listener import POLL_SECONDS, change_listener
from smsgw.store.db import Database, wake_up
from smsgw.store.models import Operator
from tests.conftest import NOW
from tests.running import until

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
def listener(database, stop):
    made = change_listener(database, stop)
    if not database.is_sqlite:
        assert made.wait(PATIENCE_SECONDS)  # the first time it has just begun to listen
    yield made
    made.close()


def drain(listener):
    while listener.wait(0.2):
        pass


def test_it_is_silent_while_nothing_is_written(listener):
    drain(listener)
    assert listener.wait(0.05) is False


def test_it_reports_a_commit_of_another_process(database, listener, database_url):
    drain(listener)
    other = Database(database_url)
    write(other, "a", wakes_up=True)
    other.close()
    assert listener.wait(PATIENCE_SECONDS) is True


def test_it_wakes_a_waiting_thread(database, listener):
    drain(listener)
    notified = []
    thread = threading.Thread(target=lambda: notified.append(listener.wait(PATIENCE_SECONDS)))
    thread.start()
    write(database, "a", wakes_up=True)
    thread.join(PATIENCE_SECONDS)
    assert notified == [True]


def test_nobody_waits_for_it_after_the_end(listener, stop):
    drain(listener)
    thread = threading.Thread(target=listener.wait, args=(10 * PATIENCE_SECONDS,), daemon=True)
    thread.start()
    stop.set()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_what_was_written_just_after_a_notification_is_reported_too(database, listener):
    drain(listener)
    for name in "abc":
        write(database, name, wakes_up=True)
    assert listener.wait(PATIENCE_SECONDS) is True
    if not database.is_sqlite:
        assert listener.wait(PATIENCE_SECONDS) is True


def test_a_transaction_that_fails_notifies_nobody(database, listener):
    drain(listener)
    write(database, "a", wakes_up=True)
    drain(listener)
    with pytest.raises(sa.exc.IntegrityError):
        write(database, "a", wakes_up=True)
    assert listener.wait(0.3) is False


def test_only_deliveries_notify_on_postgresql(database, listener):
    if database.is_sqlite:
        pytest.skip("SQLite rings for every commit")
    drain(listener)
    write(database, "a")
    assert listener.wait(0.3) is False


def test_it_comes_back_after_its_connection_was_ended(database, listener):
    if database.is_sqlite:
        pytest.skip("SQLite has no server to lose")
    with database.reading() as session:
        session.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND query LIKE 'LISTEN%'"
            )
        )
    assert listener.wait(0.05) is False
    assert listener.wait(PATIENCE_SECONDS) is True
    drain(listener)
    write(database, "a", wakes_up=True)
    assert listener.wait(PATIENCE_SECONDS) is True


@pytest.fixture
def quiet(database, listener):
    """Gives the listener of SQLite, after its log was last written to."""
    if not database.is_sqlite:
        pytest.skip("PostgreSQL notifies")
    drain(listener)
    until(database.files.find_log_state, "the log to be settled")
    return listener


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")
def test_nothing_is_read_while_nobody_writes(database, quiet, monkeypatch):
    read = Mock(return_value=database.files.find_log_state())
    monkeypatch.setattr(database.files, "find_log_state", read)
    assert not quiet.wait(10 * POLL_SECONDS)
    assert read.call_count == 2  # at the beginning and at the end


def test_writes_that_the_system_does_not_report_are_found_all_the_same(
    database, quiet, monkeypatch
):
    monkeypatch.setattr(quiet._watch, "wait", lambda seconds: bool(time.sleep(seconds)))
    for name in "ab":
        later = threading.Timer(0.1, write, [database, name])
        later.start()
        assert quiet.wait(PATIENCE_SECONDS)
        later.join()
        drain(quiet)


def test_writes_are_looked_for_where_the_system_lets_nobody_watch(database, quiet, monkeypatch):
    quiet.close()
    monkeypatch.setattr(inotify_simple, "INotify", Mock(side_effect=OSError("too many")))
    drain(quiet)
    write(database, "a")
    assert quiet.wait(PATIENCE_SECONDS)
