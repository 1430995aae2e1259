"""A device and a CRM of the CRM WebSocket API, their conversations without a socket, and a clock that stands still."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from smsgw import clock, ids
from smsgw.core.accounts import crms, enrolment, operators
from smsgw.core.devices import logins, presence
from smsgw.core.devices.protocols import SOCKET
from smsgw.core.messages import endings, queueing, unconfirmed
from smsgw.core.messages.drafts import Draft
from smsgw.core.operations import housekeeping
from smsgw.http.context import EXTENSION
from smsgw.live.conversation import Close
from smsgw.websocket_api import crm_socket as crm_side
from smsgw.websocket_api import device_socket as device_side
from tests.conftest import NOW, World

SEED = Path(__file__).with_name("seed.txt").read_text(encoding="utf-8")


def payloads() -> list[dict[str, Any]]:
    """The five payloads as the document prints them: registerDevice, registerCRM, in, out, receipt."""
    return [json.loads(block) for block in SEED.strip().split("\n\n")]


REGISTER_DEVICE, REGISTER_CRM, INCOMING, OUTGOING, RECEIPT = payloads()


@dataclass
class Stage:
    """The world with an operator, the device `12345` (with a socket's token) and a CRM mapped to it alone."""

    world: World
    traveller: Any
    operator_key: str
    token: str
    crm_id: str
    crm_key: str

    def pass_time(self, **duration: float) -> None:
        self.traveller.shift(timedelta(**duration))

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self.world.client.open(path, method=method, json=body, headers=headers)

    def device(self, token: str | None = None) -> device_side.DeviceConversation:
        """A conversation of the device's, not opened yet."""
        login = logins.find_by_key(self.world.database, token or self.token, clock.now())
        assert login is not None
        return device_side.DeviceConversation(self.world.app.extensions[EXTENSION], login)

    def crm(self, after: str | None = None, key: str | None = None) -> crm_side.CrmConversation:
        """A conversation of the CRM's, not opened yet, at the beginning of its feed unless told otherwise."""
        with self.world.database.reading() as session:
            owned = crms.get(session, self.crm_id)
        key = key or self.crm_key
        assert owned.key_hash == ids.hash_secret(key)
        return crm_side.CrmConversation(
            self.world.settings, self.world.database, self.crm_id, key, after
        )

    def queue(self, content: str = "hello") -> str:
        """The CRM queues an SMS for the device; returns the message's id."""
        with self.world.database.transaction() as session:
            crm = crms.get(session, self.crm_id)
            draft = Draft(to="+12025550123", content=content, device_id="12345")
            (made,) = queueing.queue_all(session, crm, self.world.settings, [draft], clock.now())
            return made.message.id

    def run_housekeeping(self) -> None:
        """What the worker does each second."""
        for chore in (
            endings.expire_due,
            unconfirmed.give_up,
            housekeeping.mark_stuck,
        ):
            with self.world.database.transaction() as session:
                chore(session, clock.now())
        with self.world.database.transaction() as session:
            presence.announce_changes(session, self.world.settings, clock.now())


def said(answer: Any) -> list[Any]:
    """What a conversation said, as JSON; goodbyes as their codes."""
    return [words.code if isinstance(words, Close) else json.loads(words) for words in answer]


def frames_of(answer: Any) -> list[tuple[str, dict[str, Any]]]:
    """The events and their data."""
    return [(frame["event"], frame["data"]) for frame in said(answer)]


def say(conversation: Any, body: Any) -> list[Any]:
    """The client says something; what it is answered."""
    return said(conversation.received(body if isinstance(body, str | bytes) else json.dumps(body)))


@pytest.fixture
def stage(world: World) -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        with world.database.transaction() as session:
            device, token = enrolment.add_with_key(session, "12345", None, None, NOW)
            device.protocol = SOCKET
            crm, key = crms.add(session, "CRM", ["12345"], NOW)
            crm.loop_guard = 0
            operator_key = operators.add(session, "ops", NOW)
            crm_id = crm.id
        yield Stage(world, traveller, operator_key, token, crm_id, key)
