"""The worker as a whole, in this process and as one of its own that may be killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.devices import presence
from smsgw.core.messages import endings
from smsgw.core.operations import housekeeping, retention
from smsgw.core.webhooks import endpoints as webhook_endpoints
from smsgw.delivery.http_sender import Transport
from smsgw.delivery.periodic_tasks import PeriodicTasks
from smsgw.delivery.worker import Worker, _wait_for_tables
from smsgw.settings import PROJECT_FOLDER
from smsgw.store import migrations
from smsgw.store.db import Database
from smsgw.store.models import Device, WorkerHeartbeat
from tests.conftest import NOW
from tests.delivery.receiver import Answer, Receiver

PATIENCE_SECONDS = 60
HOUR = timedelta(hours=1)


def wait_until(condition):
    """Waits for something that will happen; fails when it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@contextmanager
def running(*workers):
    """Workers that run in threads while the `with` lasts."""
    stop = threading.Event()
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in threads)


@contextmanager
def worker_process(delivery_world, timeout_seconds=60, before=""):
    """A worker in a process of its own, where `before` is done first."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SMSGW_")},
        "SMSGW_DATABASE_URL": delivery_world.settings.database_url,
        "SMSGW_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "SMSGW_WEBHOOK_TIMEOUT_SECONDS": str(timeout_seconds),
    }
    program = (
        f"{before}from smsgw import settings; from smsgw.delivery import worker;"
        "worker.run(settings.load())"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=PROJECT_FOLDER)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Held:
    """An answer that is held back until `release`, and not for ever."""

    def __init__(self):
        self._released = threading.Event()

    def __call__(self, _request):
        self._released.wait(PATIENCE_SECONDS)
        return Answer()

    def release(self):
        self._released.set()


def statuses(delivery_world, endpoint_id):
    return Counter(delivery.status for delivery in delivery_world.deliveries(endpoint_id))


def test_what_is_recorded_while_the_worker_runs_is_delivered(delivery_world):
    with Receiver() as receiver, running(Worker(delivery_world.settings, delivery_world.database)):
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        first = delivery_world.record(now=clock.now())
        wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 1})
        second = delivery_world.record(now=clock.now())
        wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 2})
    assert receiver.event_ids == first + second


def test_a_worker_that_is_there_before_the_tables_waits_for_them(tmp_path):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMSGW_")}
    log_file = tmp_path / "worker.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "smsgw", "worker"],
            env={**clean, "SMSGW_DATABASE_URL": url},
            cwd=PROJECT_FOLDER,
            stderr=log,
        )
    database = Database(url)
    try:
        wait_until(lambda: "the database is new" in log_file.read_text())
        migrations.upgrade(database)
        wait_until(lambda: heartbeats(database))
    finally:
        process.terminate()
        process.wait()
        database.close()
    assert "could not" not in log_file.read_text()


def test_a_worker_waits_until_the_tables_are_of_its_version(tmp_path, caplog):
    database, stop = Database(f"sqlite:///{tmp_path / 'old.db'}"), threading.Event()
    migrations.upgrade(database, "0001")
    waiting = threading.Thread(target=_wait_for_tables, args=(database, stop), daemon=True)
    waiting.start()
    wait_until(lambda: "at revision 0001, this version needs" in caplog.text)
    assert waiting.is_alive()
    migrations.upgrade(database)
    waiting.join(PATIENCE_SECONDS)
    assert not waiting.is_alive()
    database.close()


def heartbeats(database):
    with database.reading() as session:
        return list(session.scalars(sa.select(WorkerHeartbeat)))


def test_two_workers_on_one_database_deliver_each_event_once(delivery_world):
    other_database = Database(delivery_world.settings.database_url)
    with Receiver() as receiver:
        endpoints = [delivery_world.add_endpoint(f"{receiver.url}/{n}") for n in range(3)]
        event_ids = delivery_world.record(40)
        first = Worker(delivery_world.settings, delivery_world.database)
        second = Worker(delivery_world.settings, other_database)
        with running(first, second):
            for endpoint_id in endpoints:
                wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 40})  # noqa: B023
    other_database.close()
    got = Counter((request.path, request.event_id) for request in receiver.requests)
    assert set(got.values()) == {1}
    assert len(got) == 3 * 40
    assert set(receiver.event_ids) == set(event_ids)


def test_a_worker_that_is_killed_in_an_attempt_loses_nothing(delivery_world):
    held = Held()
    with Receiver(held) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        (event_id,) = delivery_world.record(now=clock.now())
        with worker_process(delivery_world) as process:
            wait_until(lambda: receiver.requests)
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_SECONDS)
        assert statuses(delivery_world, endpoint_id) == {"pending": 1}
        assert delivery_world.take(clock.now()) == []
        held.release()
        later = Worker(
            delivery_world.settings, delivery_world.database, clock=lambda: clock.now() + HOUR
        )
        with running(later):
            wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 1})
    assert receiver.event_ids == [event_id, event_id]
    assert len(delivery_world.attempts(delivery_world.delivery(endpoint_id))) == 1


def test_a_worker_ends_when_it_is_told_to_though_an_attempt_hangs(delivery_world):
    held = Held()
    with Receiver(held) as receiver:
        delivery_world.add_endpoint(receiver.url)
        delivery_world.record(now=clock.now())
        with worker_process(delivery_world) as process:
            wait_until(lambda: receiver.requests)
            process.send_signal(signal.SIGTERM)
            # The attempt itself would last for a minute.
            assert process.wait(30) == 0
        held.release()


def test_an_attempt_that_is_nearly_done_is_waited_for(delivery_world):
    stop = threading.Event()

    def answer(_request):
        stop.set()
        return Answer()

    with Receiver(answer) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record(now=clock.now())
        Worker(delivery_world.settings, delivery_world.database).run(stop)
    assert statuses(delivery_world, endpoint_id) == {"delivered": 1}


def test_what_a_worker_has_claimed_ahead_is_due_at_once_when_it_ends(delivery_world):
    held, count = Held(), 0

    def answer(request):
        nonlocal count
        count += 1
        return Answer() if count <= 20 else held(request)

    stop = threading.Event()
    worker = Worker(delivery_world.settings, delivery_world.database)
    with Receiver(answer) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record(80, now=clock.now())
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        wait_until(lambda: len(receiver.requests) >= 24)
        stop.set()
        thread.join(PATIENCE_SECONDS)
        held.release()
    claimed = [one for one in delivery_world.deliveries(endpoint_id) if one.claim is not None]
    # Those that hang are left to their leases.
    assert len(claimed) == 4
    assert statuses(delivery_world, endpoint_id) == {"delivered": 20, "pending": 60}


def test_no_transaction_is_open_while_a_request_runs(delivery_world):
    seen = []

    def answer(_request):
        # This waits for ever, or fails, when somebody holds the endpoint's row or SQLite's write lock.
        with delivery_world.database.transaction() as session:
            webhook_endpoints.lock(
                session, webhook_endpoints.get(session, delivery_world.crm_id, endpoint_id)
            )
            seen.append(True)
        return Answer()

    with Receiver(answer) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record(now=clock.now())
        with running(Worker(delivery_world.settings, delivery_world.database)):
            wait_until(lambda: statuses(delivery_world, endpoint_id) == {"delivered": 1})
    assert seen == [True]


def test_a_bug_in_one_attempt_stops_no_other(delivery_world, caplog):
    class Broken(Transport):
        def post(self, url, *rest):
            if url.endswith("broken"):
                raise RuntimeError("a bug")
            return super().post(url, *rest)

    with Receiver() as receiver:
        broken = delivery_world.add_endpoint(f"{receiver.url}/broken")
        healthy = delivery_world.add_endpoint(receiver.url)
        delivery_world.record(6, now=clock.now())
        delivery_world.carriers.http.close()
        delivery_world.carriers.http = Broken(delivery_world.guard)
        worker = Worker(
            delivery_world.settings, delivery_world.database, carriers=delivery_world.carriers
        )
        with running(worker):
            wait_until(lambda: statuses(delivery_world, healthy) == {"delivered": 6})
    assert statuses(delivery_world, broken) == {"pending": 6}
    assert "a bug" in caplog.text


def test_a_worker_writes_heartbeats(delivery_world):
    worker = Worker(delivery_world.settings, delivery_world.database)

    def heartbeats():
        with delivery_world.database.reading() as session:
            return list(session.scalars(sa.select(WorkerHeartbeat.id)))

    with running(worker):
        wait_until(heartbeats)
    assert heartbeats() == [worker.id]


class Clock:
    """A steady clock in the test's hand, and what was done by it."""

    def __init__(self, delivery_world, monkeypatch, finds=0):
        self.done = []
        self.finds = finds
        monkeypatch.setattr(retention, "remove_events", self.remove)
        monkeypatch.setattr(endings, "has_overdue", self.broken)
        monkeypatch.setattr(housekeeping, "forget_requests", self.forget)
        self.tasks = PeriodicTasks(
            delivery_world.settings, delivery_world.database, "w", lambda: NOW
        )

    def remove(self, *_):
        self.done.append("remove")
        return self.finds

    def forget(self, *_):
        self.done.append("forget")

    def broken(self, *_):
        raise RuntimeError("a bug")

    def tick(self, moment):
        self.done.clear()
        self.has_more = self.tasks.tick(moment, threading.Event())
        return list(self.done)


def test_a_chore_that_fails_stops_no_other_and_is_logged(delivery_world, monkeypatch, caplog):
    assert Clock(delivery_world, monkeypatch).tick(1000.0) == ["remove", "forget"]
    assert "could not expire messages" in caplog.text


@pytest.mark.parametrize(("finds", "after_a_second"), [(0, []), (500, ["remove"])])
def test_removing_what_is_old_is_rare_unless_there_is_more(
    delivery_world, monkeypatch, finds, after_a_second
):
    hand = Clock(delivery_world, monkeypatch, finds)
    assert hand.tick(1000.0) == ["remove", "forget"]
    assert hand.has_more == bool(finds)
    assert hand.tick(1001.0) == after_a_second
    assert hand.tick(1700.0) == ["remove", "forget"]


def test_many_devices_that_come_at_once_are_told_some_at_a_time_and_each_once(
    delivery_world, monkeypatch
):
    endpoint_id = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        for number in range(presence.MOST_AT_ONCE):
            name = f"new-{number}"
            session.add(Device(id=name, secret_hash=name, last_seen_at=NOW, created_at=NOW))
        session.get_one(Device, "phone-1").last_seen_at = NOW
    hand = Clock(delivery_world, monkeypatch)
    pending_counts = []
    for moment in (1000.0, 1000.1, 1000.2):
        hand.tick(moment)
        pending_counts.append(statuses(delivery_world, endpoint_id).get("pending", 0))
    assert pending_counts == [100, 101, 101]
    assert not hand.has_more
