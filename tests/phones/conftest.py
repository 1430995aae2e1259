"""A phone and a CRM for the tests of the stock app's protocol, with the clock handed in."""

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.events import feed
from smsgw.core.messages import endings, queueing, resending, unconfirmed
from smsgw.core.messages.drafts import Draft
from smsgw.core.operations import housekeeping
from smsgw.http import bodies, last_seen
from smsgw.http.context import EXTENSION
from smsgw.store.models import Device, Dispatch, Event, HistoryEntry, Message, QuarantinedItem

from ..conftest import NOW, World


@dataclass
class Stage:
    """The world with a clock that stands still until it is told to go on."""

    world: World
    traveller: Any
    headers: dict[str, str] = field(default_factory=dict)

    def pass_time(self, **duration: float) -> None:
        """Lets time go on, as `timedelta` names it."""
        self.traveller.shift(timedelta(**duration))

    def post(self, body: Any, headers: dict[str, str] | None = None) -> Any:
        """One POST as the phone makes it."""
        return self.world.client.post(
            "/api/sms", json=body, headers={**(headers or self.world.as_device())}
        )

    def poll(
        self,
        messages: list[Any] | None = None,
        updates: list[Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> list[dict[str, str]]:
        """One poll that must succeed; returns what the phone is to send."""
        answer = self.post({"messages": messages or [], "updates": updates or []}, headers)
        assert answer.status_code == 200, answer.text
        assert list(answer.json) == ["messages"]
        return answer.json["messages"]

    def report(self, dispatch_id: str, *words: str, reason: str = "generic; errorCode=1") -> None:
        """The phone says these statuses of one dispatch, in one poll."""
        self.poll(updates=[update(dispatch_id, word, reason) for word in words])

    def be_quiet(self) -> None:
        """A minute later the phone polls with nothing to report, and some seconds later that is written down."""
        self.pass_time(minutes=1)
        self.poll()
        with self.world.database.transaction() as session:
            self.world.app.extensions[EXTENSION].last_seen_writer.sightings.write(session)
        self.pass_time(minutes=1)

    def queue(self, count: int = 1, **draft: Any) -> list[str]:
        """Queues SMS for the CRM and returns the messages' ids."""
        wanted = {"to": "+12025550123", "content": "hello", **draft}
        with self.world.database.transaction() as session:
            crm = crms.get(session, wanted.pop("crm", self.world.crm_id))
            made = queueing.queue_all(
                session, crm, self.world.settings, [Draft(**wanted)] * count, clock.now()
            )
            return [one.message.id for one in made]

    def poll_at_once(self, count: int) -> list[Any]:
        """Polls from so many threads at the same moment and returns all that was handed out."""
        handed: list[Any] = []
        start = threading.Barrier(count)

        def poll() -> None:
            start.wait()
            handed.extend(self.poll())

        threads = [threading.Thread(target=poll) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return handed

    def send(self, **draft: Any) -> tuple[str, str]:
        """Queues one SMS and has the phone take it; returns the message's and the dispatch's id."""
        (message_id,) = self.queue(**draft)
        (handed,) = self.poll()
        return message_id, handed["id"]

    def run_housekeeping(self) -> None:
        """What the worker does every second."""
        for chore in (
            unconfirmed.give_up,
            housekeeping.mark_stuck,
            endings.expire_due,
        ):
            with self.world.database.transaction() as session:
                chore(session, clock.now())

    def resend(self, message_id: str, *, anyway: bool = False) -> None:
        with self.world.database.transaction() as session:
            crm = crms.get(session, self.world.crm_id)
            message = queueing.get(session, crm, message_id)
            act = resending.queue_anyway if anyway else resending.queue
            act(session, message, self.world.settings, clock.now())

    def message(self, message_id: str) -> Message:
        with self.world.database.reading() as session:
            return session.get_one(Message, message_id)

    def status(self, message_id: str) -> str:
        return self.message(message_id).status

    def history(self, message_id: str) -> list[str]:
        with self.world.database.reading() as session:
            return list(
                session.scalars(
                    sa.select(HistoryEntry.status)
                    .where(HistoryEntry.message_id == message_id)
                    .order_by(HistoryEntry.id)
                )
            )

    def events(self, message_id: str | None = None) -> list[str]:
        """The types of the CRM's events, oldest first."""
        with self.world.database.reading() as session:
            rows = feed.page(session, self.world.crm_id, None, 1000)
            return [row.type for row in rows if message_id in (None, row.message_id)]

    def bodies(self) -> list[dict[str, Any]]:
        with self.world.database.reading() as session:
            return [
                json.loads(row.body)
                for row in session.scalars(sa.select(Event).order_by(Event.seq))
            ]

    def inbox(self) -> list[Message]:
        with self.world.database.reading() as session:
            return list(
                session.scalars(
                    sa.select(Message).where(Message.direction == "inbound").order_by(Message.id)
                )
            )

    def quarantined(self) -> list[QuarantinedItem]:
        with self.world.database.reading() as session:
            return list(session.scalars(sa.select(QuarantinedItem).order_by(QuarantinedItem.id)))

    def device(self, device_id: str = "phone-1") -> Device:
        with self.world.database.reading() as session:
            return session.get_one(Device, device_id)

    def dispatches(self, message_id: str) -> list[Dispatch]:
        with self.world.database.reading() as session:
            return list(
                session.scalars(
                    sa.select(Dispatch)
                    .where(Dispatch.message_id == message_id)
                    .order_by(Dispatch.handed_out_at, Dispatch.id)
                )
            )


def act_while_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Has the next request do this after its head was read and before its body is."""
    read = bodies.read

    def late(most: int) -> bytes:
        monkeypatch.setattr(bodies, "read", read)
        act()
        return read(most)

    monkeypatch.setattr(bodies, "read", late)


def update(dispatch_id: str, word: str, reason: str = "generic; errorCode=1") -> dict[str, str]:
    """An update as the phone writes it: with a reason only when it failed."""
    said = {"status": word, "id": dispatch_id}
    return {**said, "reason": reason} if word == "FAILED" else said


def sms(content: str = "hi", **changes: Any) -> dict[str, Any]:
    """An inbound SMS as the phone brings it."""
    return {
        "sms_received": 1772366400000,
        "sms_sent": 1772366399000,
        "content": content,
        "from": "+4915198765432",
        "id": str(uuid.uuid4()),
        **changes,
    }


@pytest.fixture
def stage(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    # What a quiet poll showed counts once it is written: when, a test says.
    monkeypatch.setattr(last_seen, "AFTER_SECONDS", 3600.0)
    with time_machine.travel(NOW, tick=False) as traveller:
        yield Stage(world, traveller)
