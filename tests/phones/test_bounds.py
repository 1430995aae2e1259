"""Whatever a phone brings in one poll, its poll is answered and takes a bounded part of the server."""

import json

import pytest
import sqlalchemy as sa

from smsgw.core.messages import batches, quarantine
from smsgw.core.messages.batches import MOST_ITEMS
from smsgw.core.messages.reports import MOST_REPORTS
from smsgw.core.operations import doctor
from smsgw.http import json_limits
from smsgw.store.models import Device, Message, QuarantinedItem

from ..conftest import NOW, World
from .conftest import Stage, sms, update


def _items(world: World) -> list[QuarantinedItem]:
    with world.database.reading() as session:
        return list(session.scalars(sa.select(QuarantinedItem).order_by(QuarantinedItem.id)))


def _taken(world: World) -> int:
    with world.database.reading() as session:
        inbound = sa.select(sa.func.count()).where(Message.direction == "inbound")
        return session.scalar(inbound) or 0


def _dropped(world: World) -> int:
    with world.database.reading() as session:
        return quarantine.dropped_count(session)


def test_a_hundred_messages_and_updates_in_a_poll_are_all_taken(stage: Stage):
    sent = stage.queue(count=10)
    handed = stage.poll()
    unknown = [update(f"unknown-{number}", "SENT") for number in range(90)]
    stage.poll([sms() for _ in range(100)], [update(one["id"], "SENT") for one in handed] + unknown)
    assert _taken(stage.world) == 100
    assert len(sent) == len(handed) == 10
    assert _items(stage.world) == []


def test_what_is_beyond_a_thousand_items_goes_into_the_quarantine_as_one(stage: Stage):
    messages = [sms() for _ in range(MOST_ITEMS + 3)]
    updates = [update(f"unknown-{number}", "SENT") for number in range(33_000)]
    stage.poll(messages, updates)
    assert _taken(stage.world) == MOST_ITEMS
    of_messages, of_updates = _items(stage.world)
    assert of_messages.reason == "3 more messages than the 1,000 that are read of one poll"
    assert json.loads(of_messages.raw) == messages[MOST_ITEMS:]
    assert of_updates.reason == "32,000 more updates than the 1,000 that are read of one poll"
    assert of_updates.size == len(of_updates.raw) <= quarantine.MAX_RAW
    # The phone repeats what it had no answer to: nothing is kept twice.
    stage.poll(messages, updates)
    assert len(_items(stage.world)) == 2


@pytest.mark.parametrize("key", ["messages", "updates"])
def test_a_poll_of_numbers_leaves_a_thousand_items_and_one(stage: Stage, key: str):
    assert stage.post({key: list(range(200_000))}).status_code == 200
    items = _items(stage.world)
    assert len(items) <= quarantine.MOST_ITEMS
    assert sum(item.size for item in items) <= quarantine.MOST_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[' + b"{}," * json_limits.MAX_VALUES + b"{}]}",
        b'{"messages":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"updates":[{"id":"'
        + b"1," * 600
        + b'"},'
        + b'{"a":' * 5_000
        + b"1"
        + b"}" * 5_000
        + b"]}",
    ],
    ids=["values", "lists", "objects"],
)
def test_a_body_with_too_much_in_it_goes_into_the_quarantine_whole(stage: Stage, body: bytes):
    stage.queue()
    answer = stage.world.client.post("/api/sms", data=body, headers=stage.world.as_device())
    assert answer.status_code == 200
    assert len(answer.json["messages"]) == 1
    (item,) = _items(stage.world)
    assert item.raw == body.decode()[: quarantine.MAX_RAW]
    assert item.reason.startswith("the body ")


def test_the_oldest_items_of_a_device_make_room_and_are_counted(world: World, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_ITEMS", 10)
    world.add_device("phone-2")
    for device_id in ("phone-2", "phone-1"):
        for first in range(0, 40, 4):
            unreadable = [batches.unreadable(number, "x") for number in range(first, first + 4)]
            with world.database.transaction() as session:
                quarantine.keep(session, device_id, unreadable, NOW)
                quarantine.keep(session, device_id, unreadable, NOW)
    items = _items(world)
    for device_id in ("phone-1", "phone-2"):
        assert [int(item.raw) for item in items if item.device_id == device_id] == [*range(30, 40)]
    with world.database.reading() as session:
        assert session.get_one(Device, "phone-1").quarantine_dropped_count == 30
    (finding,) = [
        one
        for one in doctor.examine(world.database, world.settings, NOW)
        if one.check == "quarantine"
    ]
    assert "60 older ones were dropped" in finding.text
    with world.database.transaction() as session:
        quarantine.clear_all(session)
    assert _dropped(world) == 0


def test_the_items_of_a_device_have_a_bounded_size(world: World, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_BYTES", 1000)
    for number in range(20):
        with world.database.transaction() as session:
            item = batches.unreadable(str(number) + "x" * 100, "x")
            quarantine.keep(session, "phone-1", [item], NOW)
    items = _items(world)
    assert 800 < sum(item.size for item in items) <= 1000
    assert _dropped(world) == 20 - len(items)


def test_an_item_larger_than_all_a_device_may_have_leaves_nothing_but_its_count(
    world: World, monkeypatch
):
    monkeypatch.setattr(quarantine, "MOST_BYTES", 1000)
    with world.database.transaction() as session:
        quarantine.keep(session, "phone-1", [batches.unreadable("x" * 2000, "x")], NOW)
    assert (_items(world), _dropped(world)) == ([], 1)


def test_no_phone_makes_a_history_grow_without_end_and_its_last_word_still_counts(stage: Stage):
    message_id, dispatch_id = stage.send()
    before = len(stage.history(message_id))
    for poll in range(3):
        words = ["PENDING", "FAILED"] * 400
        stage.poll([], [update(dispatch_id, word, f"{poll}-{n}") for n, word in enumerate(words)])
    assert len(stage.history(message_id)) == before + MOST_REPORTS
    assert stage.status(message_id) == "failed"
    for word in ("SENT", "DELIVERED"):
        stage.poll([], [update(dispatch_id, "PENDING", "again"), update(dispatch_id, word)])
    assert stage.status(message_id) == "delivered"
    assert len(stage.history(message_id)) == before + MOST_REPORTS + 2
