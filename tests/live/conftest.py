"""A gateway device with a key, its conversation without a socket, and a CRM that sends to it."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.core.devices import logins, protocols
from smsgw.core.messages import queueing, unconfirmed
from smsgw.core.messages.drafts import Draft
from smsgw.http.context import EXTENSION
from smsgw.phones.mysmsapio.conversation import CableConversation, _find_ready, _inspect
from smsgw.phones.mysmsapio.translation import dispatch_id
from smsgw.store.models import Device, Dispatch, Message, QuarantinedItem

from ..conftest import NOW, World

IDENTIFIER = '{"channel":"GatewayChannel"}'


@dataclass
class Cable:
    """The world with a device `gateway-1` that speaks MySMSAPio; the clock stands still until it is told to go on."""

    world: World
    traveller: Any
    key: str

    def pass_time(self, **duration: float) -> None:
        self.traveller.shift(timedelta(**duration))

    def conversation(self) -> CableConversation:
        """A new socket's conversation, welcomed already."""
        login = logins.find_by_key(self.world.database, self.key, clock.now())
        assert login is not None
        made = CableConversation(self.world.app.extensions[EXTENSION], login)
        assert made.opened() == ['{"type":"welcome"}']
        return made

    def subscribed(self) -> CableConversation:
        """The same with a subscription."""
        made = self.conversation()
        confirmed = said(command(made, "subscribe"))[0]
        assert confirmed == {"identifier": IDENTIFIER, "type": "confirm_subscription"}
        return made

    def post(self, path: str, body: Any = None, key: str | None = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return self.world.client.post(path, json=body, headers=headers, **more)

    def queue(self, count: int = 1, **draft: Any) -> list[str]:
        """Queues SMS for the gateway and returns the messages' ids."""
        wanted = {
            "to": "+12025550123",
            "content": "hello",
            "device_id": "gateway-1",
            **draft,
        }
        with self.world.database.transaction() as session:
            crm = crms.get(session, wanted.pop("crm", self.world.crm_id))
            made = queueing.queue_all(
                session, crm, self.world.settings, [Draft(**wanted)] * count, clock.now()
            )
            return [one.message.id for one in made]

    def waiting(self, *conversations: CableConversation) -> list[CableConversation]:
        return _find_ready(self.world.database, conversations)

    def inspected(self, *conversations: CableConversation) -> list[CableConversation]:
        return _inspect(self.world.database, conversations)

    def run_housekeeping(self) -> None:
        with self.world.database.transaction() as session:
            unconfirmed.give_up(session, clock.now())

    def flush(self) -> None:
        """Writes the sightings, which takes some seconds otherwise."""
        self.world.app.extensions[EXTENSION].last_seen_writer.write()

    def message(self, message_id: str) -> Message:
        with self.world.database.reading() as session:
            return session.get_one(Message, message_id)

    def dispatch(self, app_id: str) -> Dispatch:
        with self.world.database.reading() as session:
            return session.get_one(Dispatch, dispatch_id(app_id))

    def device(self, device_id: str = "gateway-1") -> Device:
        with self.world.database.reading() as session:
            return session.get_one(Device, device_id)

    def change(self, **values: Any) -> None:
        """Changes the device's row."""
        with self.world.database.transaction() as session:
            session.execute(sa.update(Device).where(Device.id == "gateway-1").values(**values))

    def inbox(self) -> list[Message]:
        with self.world.database.reading() as session:
            return list(session.scalars(sa.select(Message).where(Message.direction == "inbound")))

    def quarantined(self) -> list[QuarantinedItem]:
        with self.world.database.reading() as session:
            return list(session.scalars(sa.select(QuarantinedItem)))


def said(answer: Any) -> list[Any]:
    """Frames as JSON; what is no frame as it is."""
    return [json.loads(words) if isinstance(words, str) else words for words in answer]


def sent(answer: Any) -> list[dict[str, Any]]:
    """The payloads of the SMS that were handed out."""
    return [
        frame["message"]["payload"]
        for frame in said(answer)
        if isinstance(frame, dict) and frame.get("message", {}).get("action") == "send_sms"
    ]


def command(
    conversation: CableConversation, name: str, identifier: Any = IDENTIFIER, **more: Any
) -> Any:
    """What is answered to a command."""
    return conversation.received(json.dumps({"command": name, "identifier": identifier, **more}))


def perform(conversation: CableConversation, action: str, **payload: Any) -> Any:
    """What is answered to an action."""
    data = json.dumps({"action": action, "payload": payload})
    return command(conversation, "message", data=data)


@pytest.fixture
def cable(world: World) -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        with world.database.transaction() as session:
            device, key = enrolment.add_with_key(session, "gateway-1", None, None, NOW)
            device.protocol = protocols.MYSMSAPIO
        yield Cable(world, traveller, key)
