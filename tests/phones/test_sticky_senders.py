"""Sticky senders: a number is sent to by the phone that it last talked with, as long as that one can."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.devices import logins
from smsgw.core.messages import sticky_senders
from smsgw.store.models import Device, LastDevice, Message

from ..purging import purge
from .conftest import Stage, update

NUMBER = "+12025550123"
OTHER = "+12025550188"


class Phones:
    """Two phones of one CRM that is sticky, both online."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.headers = {
            "phone-1": stage.world.as_device(),
            "phone-2": stage.world.add_device("phone-2"),
        }
        self.switch(True)
        self.see("phone-1", "phone-2")

    def switch(self, is_on: bool) -> None:
        with self.stage.world.database.transaction() as session:
            crm = crms.get(session, self.stage.world.crm_id)
            crms.update(session, crm, {"sticky_sender": is_on}, clock.now())

    def set_device(self, name: str, **values: Any) -> None:
        with self.stage.world.database.transaction() as session:
            session.execute(sa.update(Device).where(Device.id == name).values(**values))

    def see(self, *names: str) -> None:
        for name in names:
            self.set_device(name, last_seen_at=clock.now())

    def poll(self, name: str, **more: Any) -> list[dict[str, str]]:
        return self.stage.poll(headers=self.headers[name], **more)

    def send_by(self, name: str, number: str = NUMBER) -> None:
        """Has this phone send an SMS to the number."""
        self.stage.queue(to=number, device_id=name, content=f"by {name}")
        (handed,) = self.poll(name)
        self.poll(name, updates=[update(handed["id"], "SENT")])

    def receive_by(self, name: str, number: str = NUMBER) -> None:
        sms = {"id": f"{name}-{clock.now().timestamp()}", "from": number, "content": "hi"}
        self.poll(name, messages=[sms])

    def open_again(self) -> int:
        """What the worker does each second."""
        with self.stage.world.database.transaction() as session:
            return sticky_senders.open_again(session, self.stage.world.settings, clock.now())

    def lane(self, message_id: str) -> str:
        with self.stage.world.database.reading() as session:
            return session.get_one(Message, message_id).lane or ""


@pytest.fixture
def phones(stage: Stage) -> Phones:
    return Phones(stage)


def test_a_number_is_sent_to_by_the_phone_that_last_sent_to_it(phones: Phones):
    phones.send_by("phone-2")
    phones.stage.queue()
    assert phones.poll("phone-1") == []
    assert [one["to"] for one in phones.poll("phone-2")] == [NUMBER]
    phones.send_by("phone-1")
    phones.stage.queue()
    assert phones.poll("phone-2") == []
    assert len(phones.poll("phone-1")) == 1


def test_what_waits_for_one_phone_makes_no_work_for_others(phones: Phones):
    phones.send_by("phone-2")
    phones.stage.queue()
    logged_in = [
        logins.find(phones.stage.world.database, name, clock.now())
        for name in ("phone-1", "phone-2")
    ]
    assert [bool(login and login.may_have_work) for login in logged_in] == [False, True]


def test_a_number_is_answered_by_the_phone_that_it_last_wrote_to(phones: Phones):
    phones.send_by("phone-1")
    phones.receive_by("phone-2")
    phones.stage.queue(to=NUMBER[1:])
    assert phones.poll("phone-1") == []
    assert len(phones.poll("phone-2")) == 1


def test_other_numbers_and_messages_that_name_a_phone_are_not_kept(phones: Phones):
    phones.send_by("phone-2")
    phones.stage.queue(to=OTHER)
    phones.stage.queue(device_id="phone-1")
    assert len(phones.poll("phone-1")) == 2


def test_without_the_setting_any_phone_sends(phones: Phones):
    phones.switch(False)
    phones.send_by("phone-2")
    phones.stage.queue()
    assert len(phones.poll("phone-1")) == 1


def test_what_failed_is_no_talk(phones: Phones):
    phones.stage.queue(device_id="phone-2")
    (handed,) = phones.poll("phone-2")
    phones.poll("phone-2", updates=[update(handed["id"], "FAILED", "generic; errorCode=1")])
    phones.stage.queue()
    assert len(phones.poll("phone-1")) == 1


@pytest.mark.parametrize(
    "change",
    ["offline", "disabled", "unapproved", "paused", "at a limit", "routed away", "sticky off"],
)
def test_a_message_is_open_to_all_phones_again_once_its_phone_cannot_take_it(
    phones: Phones, change: str
):
    phones.send_by("phone-2")
    (message_id,) = phones.stage.queue()
    assert phones.open_again() == 0
    assert phones.poll("phone-1") == []
    if change == "offline":
        phones.stage.pass_time(minutes=6)
        phones.see("phone-1")
    elif change == "disabled":
        phones.set_device("phone-2", enabled=False)
    elif change == "paused":
        phones.set_device("phone-2", paused_until=clock.now() + timedelta(minutes=5))
    elif change == "at a limit":
        phones.set_device("phone-2", segments_per_day=1)
    elif change == "unapproved":
        phones.set_device("phone-2", approved=False)
    elif change == "routed away":
        with phones.stage.world.database.transaction() as session:
            crm = crms.get(session, phones.stage.world.crm_id)
            crms.route(session, crm, ["phone-1"], clock.now())
    else:
        phones.switch(False)
    assert phones.open_again() == 1
    assert phones.lane(message_id) == f"c:{phones.stage.world.crm_id}"
    assert len(phones.poll("phone-1")) == 1
    assert phones.open_again() == 0


@pytest.mark.parametrize("change", ["offline", "disabled"])
def test_a_phone_that_cannot_take_it_is_not_chosen(phones: Phones, change: str):
    phones.send_by("phone-2")
    if change == "offline":
        phones.stage.pass_time(minutes=6)
        phones.see("phone-1")
    else:
        phones.set_device("phone-2", enabled=False)
    phones.stage.queue()
    assert len(phones.poll("phone-1")) == 1


def test_a_resend_goes_by_the_phone_too_and_is_never_stuck(phones: Phones):
    phones.send_by("phone-2")
    (message_id,) = phones.stage.queue()
    (handed,) = phones.poll("phone-2")
    phones.poll("phone-2", updates=[update(handed["id"], "FAILED", "no-service")])
    phones.send_by("phone-1")
    phones.stage.resend(message_id)
    assert phones.poll("phone-2") == []
    assert len(phones.poll("phone-1")) == 1


def test_what_a_message_waits_for_names_its_phone(phones: Phones):
    phones.send_by("phone-2")
    (message_id,) = phones.stage.queue()
    world = phones.stage.world
    shown = world.client.get(f"/api/v1/messages/{message_id}", headers=world.as_crm()).json
    assert shown["waiting_for"]["device_id"] == "phone-2"
    assert "last talked with this number" in shown["waiting_for"]["text"]
    assert shown["device_id"] is None


def test_each_way_in_keeps_to_it_and_each_crm_for_itself(phones: Phones):
    phones.send_by("phone-2")
    world = phones.stage.world
    headers = world.as_crm()
    draft = {"to": NUMBER, "content": "a"}
    world.client.post("/api/v1/messages", json=draft, headers=headers)
    world.client.post("/api/v1/messages", json={**draft, "reference": "r"}, headers=headers)
    world.client.post("/api/v1/messages/batch", json={"messages": [draft]}, headers=headers)
    sms = {"to": NUMBER, "message": "b"}
    world.client.post("/api/v1/sms/send", json=sms, headers=headers)
    assert phones.poll("phone-1") == []
    _, key = world.add_crm("other")
    world.client.post("/api/v1/messages", json=draft, headers=world.as_crm(key))
    assert len(phones.poll("phone-1")) == 1
    assert len(phones.poll("phone-2")) == 4


def test_a_removed_crms_kept_messages_are_cancelled(phones: Phones):
    phones.send_by("phone-2")
    (message_id,) = phones.stage.queue()
    with phones.stage.world.database.transaction() as session:
        crms.remove(session, crms.get(session, phones.stage.world.crm_id), clock.now())
        assert session.get_one(Message, message_id).status == "cancelled"
    assert phones.open_again() == 0


def test_retention_forgets_who_talked_with_whom(phones: Phones):
    phones.send_by("phone-2")
    settings = phones.stage.world.settings
    object.__setattr__(settings, "retention_days", 1)
    phones.stage.pass_time(days=2)
    with phones.stage.world.database.transaction() as session:
        purge(session, settings, clock.now())
        assert session.scalar(sa.select(sa.func.count()).select_from(LastDevice)) == 0
