"""`kill -9` at any moment, of any process: no message and no event is lost, and no SMS goes out twice."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from http.client import HTTPException

import psutil
import pytest
import sqlalchemy as sa

from demo.phone import PhoneInHand
from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.store.db import Database
from smsgw.store.models import Event, Message

from ..delivery.receiver import Receiver
from ..running import PATIENCE_SECONDS, serving

SECONDS = float(os.environ.get("CHAOS_SECONDS", "12"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(10**9)
PHONES = 3
SETTINGS = {
    "SMSGW_LEASE_SECONDS": "3",
    "SMSGW_SEGMENTS_PER_MINUTE": "100000",
    # A phone delivers 18 a second, and the CRM can queue hundreds.
    "SMSGW_QUEUE_LIMIT": "300",
    "SMSGW_WEBHOOK_TIMEOUT_SECONDS": "2",
    "SMSGW_WEBHOOK_RETRY_SCHEDULE": ",".join(["0"] + ["1"] * 30),
    "SMSGW_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
}


class Life:
    """Phones that poll and receive, and a CRM that sends, until told to stop; then they finish what they began."""

    def __init__(self, url, passwords, key):
        self.stop = threading.Event()
        self.drained = threading.Event()
        self.brought = []
        self.queued = []
        self._phones = [
            PhoneInHand(url.replace("//", f"//phone-{n}:{password}@") + "/api/sms", timeout=20)
            for n, password in enumerate(passwords)
        ]
        self._url, self._key = url, key
        self._threads = [threading.Thread(target=self._phone, args=(p,)) for p in self._phones]
        self._threads.append(threading.Thread(target=self._crm))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.drained.set()
        for thread in self._threads:
            thread.join()

    def sent(self):
        """How often each SMS went out, over all phones."""
        return [
            message.sent for phone in self._phones for message in phone.ledger.messages.values()
        ]

    def _phone(self, phone):
        with phone:
            while not self.drained.is_set():
                if not self.stop.is_set():
                    content = f"in {len(self.brought)} {random.random()}"
                    self.brought.append(content)
                    phone.receive(content, "+4915198765432")
                phone.wake()
                time.sleep(0.1)

    def _crm(self):
        while not self.stop.is_set():
            reference = f"r-{len(self.queued)}"
            self.queued.append(reference)
            while not self._queue(reference) and not self.drained.is_set():
                time.sleep(0.05)

    def _queue(self, reference):
        body = {"to": "+12025550123", "content": reference, "reference": reference}
        with suppress(OSError, HTTPException):
            status, _, _ = self.server.request(
                "POST",
                "/api/v1/messages",
                body,
                {
                    "Authorization": f"Bearer {self._key}",
                    "Content-Type": "application/json",
                },
            )
            return status in (200, 202)


def kill_now_and_then(server, stop, chance):
    """Kills a random process below the supervisor each second or so; returns how many it killed."""
    killed = 0
    while not stop.wait(chance.uniform(0.3, 1.5)):
        with suppress(psutil.Error, IndexError):
            victim = chance.choice(psutil.Process(server.process.pid).children(recursive=True))
            os.kill(victim.pid, signal.SIGKILL)
            killed += 1
    return killed


def told(receiver):
    """The bodies a CRM got, each event once."""
    return {request.event_id: json.loads(request.body) for request in list(receiver.requests)}


@pytest.mark.timeout(180 + 2 * int(SECONDS))
def test_kill_9_loses_nothing_and_sends_nothing_twice(database_url, tmp_path):
    print(f"CHAOS_SEED={SEED}")
    chance = random.Random(SEED)
    database = Database(database_url)
    with database.transaction() as session:
        passwords = [
            enrolment.add_with_password(session, f"phone-{n}", None, None, clock.now())[1]
            for n in range(PHONES)
        ]
        _, key = crms.add(session, "clinic", None, clock.now())
    with Receiver() as receiver, serving(tmp_path, database_url, **SETTINGS) as server:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        made, _, answer = server.request("POST", "/api/v1/webhooks", {"url": receiver.url}, headers)
        assert made == 201, answer
        life = Life(server.url, passwords, key)
        life.server = server
        with life:
            stop = threading.Timer(SECONDS, life.stop.set)
            stop.start()
            killed = kill_now_and_then(server, life.stop, chance)
            print(f"killed {killed}, queued {len(life.queued)}, brought {len(life.brought)}")
            assert killed > SECONDS / 4
            while_moving(
                lambda: undelivered(database, len(life.queued)), "messages to be delivered"
            )
            while_moving(lambda: set(life.brought) - inbound(database), "inbound to come in")
            while_moving(lambda: event_ids(database) - set(told(receiver)), "events to be told")
    assert sorted(inbound_list(database)) == sorted(life.brought)
    assert set(life.sent()) == {1}
    assert len(life.sent()) == len(life.queued) > 0
    ids = [
        body["data"]["id"] for body in told(receiver).values() if body["type"] == "message.received"
    ]
    assert len(ids) == len(set(ids)) == len(life.brought)
    database.close()


def while_moving(missing, what):
    """Returns once nothing is missing; fails when for a minute nothing has changed."""
    before, deadline = None, 0.0
    while now := missing():
        if now != before:
            before, deadline = now, time.monotonic() + PATIENCE_SECONDS
        assert time.monotonic() < deadline, f"for a minute nothing has moved; waiting for {what}"
        time.sleep(0.05)


def undelivered(database, count):
    """How many messages have which status, as long as not all are delivered."""
    with database.reading() as session:
        statuses = Counter(
            session.scalars(sa.select(Message.status).where(Message.direction == "outbound"))
        )
    assert not statuses["failed"]
    return statuses if statuses != {"delivered": count} else None


def inbound_list(database):
    with database.reading() as session:
        return list(
            session.scalars(sa.select(Message.content).where(Message.direction == "inbound"))
        )


def inbound(database):
    return set(inbound_list(database))


def event_ids(database):
    with database.reading() as session:
        return set(session.scalars(sa.select(Event.id)))
