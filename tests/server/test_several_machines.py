"""Several machines on one PostgreSQL (docs/several-machines.md): any of them answers anybody, and one may leave."""

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.phone import Mode, PhoneInHand, Poll
from demo.wire import Fault
from smsgw import clock
from smsgw.core.accounts import crms, enrolment, operators
from smsgw.store.db import Database
from smsgw.store.models import Event, InboxEntry, Message, WorkerHeartbeat
from tests.conftest import new_database
from tests.delivery.receiver import Receiver
from tests.running import ROOT, Server, environment, serving, until

SERVE = [sys.executable, "-m", "smsgw", "serve", "--no-worker", "--workers", "1"]
WORK = [sys.executable, "-m", "smsgw", "worker"]
SETTINGS = {
    "SMSGW_LEASE_SECONDS": "3",
    "SMSGW_SEGMENTS_PER_MINUTE": "100000",
    "SMSGW_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
}
SMS_EACH_WAY = 8
ROUNDS = 10


class FirstAnswerLost(random.Random):
    """The luck of a phone that misses the first answer, and no other."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = count()

    def random(self) -> float:
        return float(next(self._asked) > 0)

    def choice(self, _: Any) -> Any:
        return Fault.LOST


@dataclass
class Site:
    """Machines that share a database; one that was stopped keeps its place until another takes it."""

    url: str
    folder: Path
    database: Database
    stack: ExitStack
    machines: list[Server] = field(default_factory=list)

    def start(self, name: str) -> Server:
        """A machine that serves, until the site is closed."""
        folder = self.folder / name
        folder.mkdir()
        return self.stack.enter_context(serving(folder, self.url, SERVE, **SETTINGS))

    def add_phone(self, name: str, mode: Mode = Mode.OK, **options: Any) -> "Phone":
        with self.database.transaction() as session:
            _, password = enrolment.add_with_password(session, name, None, None, clock.now())
        return Phone(self, f"{name}:{password}", mode, options)

    def add_crm(self, name: str, device_ids: list[str]) -> "Crm":
        with self.database.transaction() as session:
            crm, key = crms.add(session, name, device_ids, clock.now())
        return Crm(self, crm.id, key)

    def read(self, statement: sa.Select[Any]) -> list[Any]:
        with self.database.reading() as session:
            return list(session.scalars(statement))


class Phone:
    """A phone each of whose polls goes to the next machine; `visited` has the ports that answered."""

    def __init__(self, site: Site, login: str, mode: Mode, options: dict[str, Any]) -> None:
        self._site = site
        self._requests = count(1)
        self.visited: set[int] = set()
        url = f"http://{login}@127.0.0.1:{site.machines[0].port}/api/sms"
        self.hand = PhoneInHand(url, mode, timeout=20, speed=10, watch=self._move_on, **options)

    def _move_on(self, poll: Poll) -> None:
        phone, machines = self.hand.phone, self._site.machines
        if poll.ok:
            self.visited.add(phone.target.port)
        port = machines[next(self._requests) % len(machines)].port
        phone.target = replace(phone.target, port=port)

    def sent(self) -> list[int]:
        """How often each SMS went out that the phone was handed."""
        return [fate.sent for fate in self.hand.ledger.messages.values()]


@dataclass
class Crm:
    """A program that asks any machine; `machine` is its number."""

    site: Site
    id: str
    key: str

    def ask(
        self, machine: int, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """The answer's status and JSON."""
        headers |= {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        status, _, answer = self.site.machines[machine].request(
            method, f"/api/v1/{path}", body, headers
        )
        return status, json.loads(answer or "{}")

    def queue(self, machine: int, reference: str) -> tuple[int, dict[str, Any]]:
        body = {"to": "+12025550123", "content": reference, "reference": reference}
        return self.ask(machine, "POST", "messages", body)

    def outbound(self) -> list[str]:
        """The status of each message it queued."""
        return self.site.read(sa.select(Message.status).where(Message.crm_id == self.id))

    def inbound(self) -> list[str]:
        """The text of each message that came in for it."""
        its = InboxEntry.crm_id == self.id
        return self.site.read(sa.select(Message.content).join(InboxEntry).where(its))

    def event_ids(self) -> set[str]:
        return set(self.site.read(sa.select(Event.id).where(Event.crm_id == self.id)))


class Life:
    """Phones that poll and receive, and a CRM that queues, all of them everywhere; after `resting` they only finish."""

    def __init__(self, phones: list[Phone], crm: Crm) -> None:
        self.queued: list[str] = []
        self.brought: list[str] = []
        self.resting = threading.Event()
        self._over = threading.Event()
        self._crm = crm
        pool = ThreadPoolExecutor(len(phones) + 1)
        self._lives = [pool.submit(self._phone, phone) for phone in phones]
        self._lives.append(pool.submit(self._queue))

    def __enter__(self) -> "Life":
        return self

    def __exit__(self, *_: object) -> None:
        self.resting.set()
        self._over.set()
        for life in self._lives:
            life.result()

    def goes_on(self) -> None:
        """Waits until so many SMS more went each way."""
        queued, brought = len(self.queued) + SMS_EACH_WAY, len(self.brought) + SMS_EACH_WAY
        until(lambda: len(self.queued) >= queued and len(self.brought) >= brought, "more SMS")

    def _phone(self, phone: Phone) -> None:
        with phone.hand as hand:
            while not self._over.wait(0.1):
                if not self.resting.is_set():
                    self.brought.append(content := f"in {random.random()}")
                    hand.receive(content, "+4915198765432")
                hand.wake()

    def _queue(self) -> None:
        while not self.resting.wait(0.05):
            reference = f"r-{len(self.queued)}"
            until(lambda: self._is_taken(reference), f"{reference} to be taken")  # noqa: B023
            self.queued.append(reference)

    def _is_taken(self, reference: str) -> bool:
        """Tells both machines, as a program may that had no answer from the first; whether one of them has it now."""
        statuses = set()
        for machine in range(2):
            with suppress(OSError, HTTPException):
                statuses.add(self._crm.queue(machine, reference)[0])
        assert statuses <= {200, 202}
        return bool(statuses)


@contextmanager
def worker(url: str) -> Iterator[None]:
    """A worker that runs alone."""
    process = subprocess.Popen(
        WORK,
        cwd=ROOT,
        env=environment(SMSGW_DATABASE_URL=url, **SETTINGS),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def site(postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two machines and two workers, started all at once on an empty database."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        url = stack.enter_context(new_database(postgresql_server))
        database = Database(url)
        stack.callback(database.close)
        site = Site(url, tmp_path_factory.mktemp("site"), database, stack)
        for _ in range(2):
            stack.enter_context(worker(url))
        site.machines = list(pool.map(site.start, ("one", "two")))
        yield site


def at_once(site: Site, act: Callable[[int], Any]) -> list[Any]:
    """What `act` returns for each machine's number, called for both at the same moment."""
    start = threading.Barrier(2)

    def act_with_others(machine: int) -> Any:
        start.wait(10)
        return act(machine)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(act_with_others, range(2)))


def test_nothing_is_lost_and_nothing_sent_twice_while_a_machine_leaves_and_another_comes(
    site: Site,
):
    modes = {"steady": Mode.OK, "shaky": Mode.FLAKY, "double": Mode.DUPLICATE}
    phones = [site.add_phone(name, mode, rng=random.Random(7)) for name, mode in modes.items()]
    crm = site.add_crm("fleet", list(modes))
    ports = {machine.port for machine in site.machines}
    with Receiver() as receiver:
        assert crm.ask(0, "POST", "webhooks", {"url": receiver.url})[0] == 201
        with Life(phones, crm) as life:
            life.goes_on()
            assert site.machines[1].stop() == 0
            life.goes_on()
            site.machines[1] = site.start("three")
            life.goes_on()
            life.resting.set()
            until(lambda: is_over(life, crm), "all SMS to be delivered and to come in")
            until(lambda: set(receiver.event_ids) >= crm.event_ids(), "all events to be told")
    assert len(site.read(sa.select(WorkerHeartbeat.id))) == 2
    for phone in phones:
        assert phone.visited == ports | {site.machines[1].port}
    sent = [times for phone in phones for times in phone.sent()]
    assert sent == [1] * len(life.queued)
    assert sorted(crm.inbound()) == sorted(life.brought)
    assert sorted(receiver.event_ids) == sorted(crm.event_ids())


def is_over(life: Life, crm: Crm) -> bool:
    statuses = crm.outbound()
    assert "failed" not in statuses
    has_all = len(statuses) == len(life.queued) and set(crm.inbound()) >= set(life.brought)
    return has_all and set(statuses) == {"delivered"}


def test_what_a_lost_answer_had_comes_again_from_the_other_machine_and_goes_out_once(site: Site):
    phone = site.add_phone("unlucky", Mode.FLAKY, rng=FirstAnswerLost())
    crm = site.add_crm("patient", ["unlucky"])
    assert crm.queue(1, "once")[0] == 202
    with phone.hand as hand:
        assert hand.receive("from the street", "+4915198765432").error == Fault.LOST.value
        second = hand.poll_once()
        assert (second.ok, len(second.batch.messages), second.handed_out) == (True, 1, 0)
        until(lambda: hand.poll_once().handed_out, "the message to be handed out again")
        until(lambda: hand.wake() and crm.outbound() == ["delivered"], "it to be delivered")
        assert sum(poll.handed_out for _ in range(4) for poll in hand.wake()) == 0
    assert phone.sent() == [1]
    assert crm.inbound() == ["from the street"]
    assert len(phone.visited) == 2


def test_the_same_request_to_both_machines_at_once_makes_one_message(site: Site):
    site.add_phone("sleeper")
    crm = site.add_crm("hasty", ["sleeper"])

    def by_key(machine: int, number: int) -> tuple[int, dict[str, Any]]:
        body = {"to": "+12025550123", "content": f"keyed {number}"}
        return crm.ask(machine, "POST", "messages", body, **{"Idempotency-Key": f"k-{number}"})

    for number in range(ROUNDS):
        keyed = at_once(site, lambda machine: by_key(machine, number))  # noqa: B023
        referred = at_once(site, lambda machine: crm.queue(machine, f"r-{number}"))  # noqa: B023
        assert [status for status, _ in keyed] == [202, 202]
        assert sorted(status for status, _ in referred) == [200, 202]
        for (_, one), (_, two) in (keyed, referred):
            assert one["id"] == two["id"]
    assert crm.outbound() == ["queued"] * (2 * ROUNDS)


@pytest.mark.parametrize("here", [0, 1])
def test_who_is_removed_on_one_machine_is_refused_by_the_other_at_once(site: Site, here: int):
    there, name = 1 - here, f"leaver-{here}"
    with site.database.transaction() as session:
        boss = Crm(site, "", operators.add(session, f"boss-{here}", clock.now()))
    crm = site.add_crm(name, [])
    assert crm.ask(there, "GET", "messages")[0] == 200
    status, made = boss.ask(there, "POST", f"crms/{crm.id}/rotate", {})
    assert (status, crm.ask(here, "GET", "messages")[0]) == (200, 401)
    new = Crm(site, crm.id, made["api_key"])
    assert new.ask(there, "GET", "messages")[0] == 200
    assert boss.ask(here, "DELETE", f"crms/{crm.id}")[0] == 204
    assert new.ask(there, "GET", "messages")[0] == 401

    status, login = boss.ask(here, "POST", "devices", {"device_id": name})
    assert status == 201
    with PhoneInHand(login["url"], timeout=20) as hand:
        hand.phone.target = replace(hand.phone.target, port=site.machines[there].port)
        assert hand.check() == ""
        assert boss.ask(here, "PATCH", f"devices/{name}", {"enabled": False})[0] == 200
        assert hand.poll_once().status == 403
        assert boss.ask(here, "DELETE", f"devices/{name}")[0] == 204
        assert hand.poll_once().status == 401
