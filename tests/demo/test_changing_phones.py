"""Pretend phones that lose their data, change hands or speak late, against the real server: each SMS goes out once."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from demo.phone import Mode, PhoneInHand
from demo.rows import Report
from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.store.db import Database

from ..running import ROOT, serving, until


class Gateway:
    """The running server, with a device and a CRM of its own for each test."""

    def __init__(self, server, database):
        self._server = server
        name = f"phone-{uuid.uuid4()}"
        with database.transaction() as session:
            _, password = enrolment.add_with_password(session, name, None, None, clock.now())
            _, key = crms.add(session, name, [name], clock.now())
        self.url = f"http://{name}:{password}@127.0.0.1:{server.port}/api/sms"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, method, path, body=None):
        status, _, content = self._server.request(method, f"/api/v1{path}", body, self._headers)
        assert status < 300, content
        return json.loads(content)

    def queue(self, count):
        # Each text differs: the loop guard refuses one that is queued for a number again and again.
        drafts = [{"to": "+12025550123", "content": f"hello {n}"} for n in range(count)]
        return [self.ask("POST", "/messages", draft)["id"] for draft in drafts]

    def outcomes(self, message_ids):
        """What became of each, as status and class of the reason."""
        rows = [self.ask("GET", f"/messages/{message_id}") for message_id in message_ids]
        return [(row["status"], row["reason_class"]) for row in rows]

    def events(self):
        return [event["type"] for event in self.ask("GET", "/events?limit=1000")["data"]]


@pytest.fixture(scope="module")
def running(sqlite_template, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("changing-phones")
    path = folder / "smsgw.db"
    path.write_bytes(sqlite_template.read_bytes())
    options = {"SMSGW_LEASE_SECONDS": "1", "SMSGW_SEGMENTS_PER_MINUTE": "1000"}
    with serving(folder, f"sqlite:///{path}", SMSGW_WORKERS="1", **options) as server:
        database = Database(f"sqlite:///{path}")
        yield server, database
        database.close()


@pytest.fixture
def gateway(running):
    return Gateway(*running)


def live(phone, gateway, message_ids, expected):
    """The phone wakes up until all messages have one of these outcomes."""

    def is_done():
        polls = phone.wake()
        assert all(poll.ok for poll in polls)
        return set(gateway.outcomes(message_ids)) <= set(expected)

    until(is_done, f"all messages to be one of {expected}")


def counts(phone):
    return [fate.sent for fate in phone.ledger.messages.values()]


@pytest.mark.parametrize("mode", [Mode.REINSTALL, Mode.SWAP])
def test_what_a_phone_sent_before_it_lost_its_data_goes_out_once_and_is_unconfirmed(gateway, mode):
    sent = gateway.queue(10)
    with PhoneInHand(gateway.url, mode, speed=1e6) as phone:
        assert phone.check() == ""
        live(phone, gateway, sent, [("failed", "unconfirmed")])
        assert counts(phone) == [1] * 10
        fresh = gateway.queue(3)
        live(phone, gateway, fresh, [("delivered", None)])
        assert counts(phone) == [1] * 13
    assert gateway.events().count("message.failed") == 10


def test_an_older_poll_that_arrives_late_takes_nothing_back_and_sends_nothing_twice(gateway):
    sent = gateway.queue(5)
    with PhoneInHand(gateway.url, Mode.LATE_POLL, speed=1e6) as phone:
        live(phone, gateway, sent, [("delivered", None)])
        polls = [poll for _ in range(5) for poll in phone.wake()]
        assert all(poll.ok for poll in polls)
        assert counts(phone) == [1] * 5
    assert set(gateway.outcomes(sent)) == {("delivered", None)}


def test_an_older_poll_that_arrives_after_a_failure_leaves_it_failed(gateway):
    (message_id,) = gateway.queue(1)
    off = [Report(500, "failed", "generic; errorCode=1")]
    with PhoneInHand(gateway.url, Mode.LATE_POLL, speed=1e6, network=lambda message: off) as phone:
        live(phone, gateway, [message_id], [("failed", "unknown"), ("failed", "temporary")])
        for _ in range(3):
            phone.wake()
    assert gateway.outcomes([message_id])[0][0] == "failed"
    assert gateway.events() == ["message.dispatched", "message.accepted", "message.failed"]


@pytest.mark.parametrize("mode", ["reinstall", "swap", "late-poll"])
def test_the_program_prints_how_often_each_sms_went_out(gateway, mode):
    gateway.queue(2)
    program = [sys.executable, str(ROOT / "demo" / "phone.py"), gateway.url, "--mode", mode]
    options = ["--polls", "6", "--interval", "0.3", "--speed", "1000"]
    done = subprocess.run([*program, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("sent 1 x") == 2
