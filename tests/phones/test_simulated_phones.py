"""Phones with the stock app's tables, a bad line and people who change things, at random: each SMS goes out once."""

import json
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from demo.handset import Handset
from demo.rows import Batch, Ledger, Outgoing, Report
from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import registry
from smsgw.errors import IllegalTransition
from smsgw.store.models import Dispatch, Message

from .conftest import act_while_reading
from .test_handing_out import use

SEEDS = (1, 2, 3)
STEPS = 120
DEEPEST = 2
# A connection that hangs for longer is dead.
LATEST = timedelta(seconds=60)
FINAL = {"sent", "delivered", "failed"}


@dataclass
class UnderWay:
    """A poll that has left the phone and has not arrived: with which secret, and from which app's tables."""

    since: Any
    headers: dict[str, str]
    batch: Batch
    body: Any
    handset: Handset


@dataclass
class Phone:
    """One phone: its app's tables, its secret, and whether its app has checked its URL."""

    simulation: "Simulation"
    device_id: str
    headers: dict[str, str]
    is_old: bool = False
    is_set_up: bool = False
    under_way: list[UnderWay] = field(default_factory=list)

    def __post_init__(self):
        self.new_app()

    def new_app(self):
        """The app is new, or its data is gone: empty tables, and no poll before its URL is checked."""
        simulation = self.simulation
        self.handset = Handset(simulation.network, simulation.ledger, old=self.is_old)
        self.is_set_up = False

    def set_up(self):
        answer = self.simulation.stage.world.client.get("/api/sms", headers=self.headers)
        assert answer.status_code == 200
        self.is_set_up = True

    def leave(self) -> UnderWay:
        """A poll as it leaves the phone."""
        self.handset.settle(now_ms())
        batch = self.handset.batch()
        body = json.loads(batch.as_bytes())
        return UnderWay(clock.now(), self.headers, batch, body, self.handset)

    def arrive(self, poll: UnderWay, *, is_answer_lost: bool = False):
        """The poll arrives, and the answer comes back to the app that made it, if that is still there."""
        answer = self.simulation.stage.post(poll.body, poll.headers)
        assert answer.status_code in (200, 401)
        if answer.status_code == 200 and not is_answer_lost and poll.handset is self.handset:
            self.handset.forget(poll.batch)
            self.handset.store(answer.json["messages"], now_ms())

    def wake(self, fault: str = ""):
        """One alarm: polls, then sends, even when the poll failed."""
        if not self.is_set_up:
            self.set_up()
        poll = self.leave()
        if fault == "late":
            self.under_way.append(poll)
        elif fault != "no connection":
            self.arrive(poll, is_answer_lost=fault == "answer lost")
        if fault == "repeated":
            self.arrive(poll)
        self.handset.send_unsent(now_ms())


class Simulation:
    """A server, two phones and a CRM that never says that an SMS may arrive twice."""

    def __init__(self, stage, monkeypatch, seed):
        self.stage = stage
        self.monkeypatch = monkeypatch
        self.rng = random.Random(seed)
        self.ledger = Ledger()
        self.is_calm = False
        other = stage.world.add_device("phone-2")
        self.phones = [
            Phone(self, "phone-1", stage.world.as_device()),
            Phone(self, "phone-2", other, is_old=seed % 2 == 0),
        ]
        self.message_ids = []

    def network(self, _message: Outgoing) -> list[Report]:
        good = [Report(500, "sent"), Report(3000, "delivered")]
        if self.is_calm:
            return good
        return self.rng.choice(
            [
                good,
                good,
                good[:1],
                [Report(500, "failed", "generic; errorCode=1")],
                [Report(500, "retry", "no-service")],
            ]
        )

    def step(self, depth=0):
        names = ["wake", "slow wake", "arrive", "wait", "queue", "resend", "people"]
        weights = [8, 2, 4, 8, 3, 3, 1]
        name = self.rng.choices(names, weights)[0]
        if name == "slow wake" and depth >= DEEPEST:
            return
        phone = self.rng.choice(self.phones)
        match name:
            case "wake":
                faults = ["", "", "", "late", "answer lost", "no connection", "repeated"]
                phone.wake(self.rng.choice(faults))
            case "slow wake":
                act_while_reading(self.monkeypatch, lambda: self.steps(depth + 1))
                phone.wake()
            case "arrive":
                self.let_one_arrive(phone)
            case "wait":
                self.wait(seconds=self.rng.choice([1, 10, 30, 60, 60, 130]))
            case "queue":
                wanted = self.rng.choice([{}, {"device_id": phone.device_id}])
                self.message_ids += self.stage.queue(self.rng.randint(1, 6), **wanted)
            case "resend":
                self.resend()
            case "people":
                self.change_something(phone)

    def steps(self, depth):
        for _ in range(self.rng.randint(1, 4)):
            self.step(depth)

    def let_one_arrive(self, phone):
        phone.under_way = [poll for poll in phone.under_way if poll.since > clock.now() - LATEST]
        if phone.under_way:
            place = self.rng.randrange(len(phone.under_way))
            phone.arrive(phone.under_way.pop(place))

    def wait(self, **duration):
        self.stage.pass_time(**duration)
        self.stage.run_housekeeping()

    def resend(self):
        for message_id in self.message_ids:
            try:
                self.stage.resend(message_id)
            except IllegalTransition:
                continue

    def change_something(self, phone):
        world, now = self.stage.world, clock.now()
        with world.database.transaction() as session:
            device = registry.get(session, phone.device_id)
            password = None
            match self.rng.choice(["wipe", "wipe", "save", "reset", "rotate", "add again"]):
                case "wipe":
                    phone.new_app()
                case "save":
                    phone.is_set_up = False
                case "reset":
                    phone.new_app()
                    enrolment.reset(session, device, now)
                case "rotate":
                    password = enrolment.rotate(session, device, now)
                case "add again":
                    enrolment.remove(session, device, now)
                    session.flush()
                    _, password = enrolment.add_with_password(
                        session, phone.device_id, None, None, now
                    )
        if password is not None:
            phone.headers = world.as_device(phone.device_id, password)
            if self.rng.random() < 0.5:
                phone.new_app()
            phone.is_set_up = False

    def calm_down(self):
        """The line is good and nobody changes anything any more, until all has come to its end."""
        self.is_calm = True
        for phone in self.phones:
            phone.under_way.clear()
        for _ in range(60):
            self.wait(minutes=2)
            for phone in self.phones:
                phone.wake()


def now_ms() -> int:
    return int(clock.now().timestamp() * 1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_sms_goes_out_twice_and_no_message_stands_still(stage, monkeypatch, seed):
    use(stage, segments_per_minute=1000)
    simulation = Simulation(stage, monkeypatch, seed)
    for _ in range(STEPS):
        simulation.step()
    simulation.calm_down()
    with stage.world.database.reading() as session:
        dispatches = session.scalars(sa.select(Dispatch)).all()
        messages = {row.id: row for row in session.scalars(sa.select(Message))}
    times = dict.fromkeys(messages, 0)
    for dispatch in dispatches:
        fate = simulation.ledger.messages.get(dispatch.id)
        times[dispatch.message_id] += fate.sent if fate else 0
    assert [message_id for message_id, count in times.items() if count > 1] == []
    assert sum(times.values()) > 10
    expected = {"UNSENT": "accepted", "PENDING": "sending", "SENT": "sent", "FAILED": "failed"}
    for phone in simulation.phones:
        known = phone.handset.outgoing
        for dispatch in dispatches:
            if dispatch.device_id != phone.device_id:
                continue
            if dispatch.id in known and not phone.is_old:
                status = known[dispatch.id].status
                assert dispatch.status == expected.get(status, status.lower())
            assert dispatch.status != "dispatched"
    for phone in simulation.phones:
        with stage.world.database.transaction() as session:
            enrolment.reset(session, registry.get(session, phone.device_id), clock.now())
    with stage.world.database.reading() as session:
        assert set(session.scalars(sa.select(Message.status))) <= FINAL
        lost = session.scalars(sa.select(Message).where(Message.status == "failed")).all()
    for message in lost:
        assert times[message.id] == 0 or message.reason_class == "unconfirmed"
