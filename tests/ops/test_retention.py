"""What is older than the retention time is removed in small steps, and each step finds its work by reading."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import ids
from smsgw.core.messages import bulk_sheets
from smsgw.core.operations import retention
from smsgw.core.operations.retention import OldMessages
from smsgw.store.models import Bulk, BulkSheet, Message

from .. import rows
from ..conftest import NOW, World

LATER = NOW + timedelta(days=40)


@pytest.fixture
def old(world: World, monkeypatch: pytest.MonkeyPatch) -> OldMessages:
    """The search with windows of three messages and steps of two."""
    monkeypatch.setattr(retention, "_AT_ONCE", 2)
    monkeypatch.setattr(retention, "_MESSAGES_READ_AT_ONCE", 3)
    return OldMessages(replace(world.settings, retention_days=30))


def add(world: World, statuses: list[str], created_at=NOW) -> list[str]:
    made = [ids.new_message_id() for _ in statuses]
    with world.database.transaction() as session:
        for message_id, status in zip(made, statuses, strict=True):
            session.add(
                rows.message(
                    message_id,
                    status,
                    created_at,
                    crm_id=world.crm_id,
                    to_number="+12025550123",
                    content="hello",
                )
            )
    return made


def run(world: World, old: OldMessages, now=LATER) -> int:
    """As the worker does, step by step; returns how many steps it took."""
    for steps in range(100):
        with world.database.reading() as session:
            if not old.find(session, now):
                return steps
        with world.database.transaction() as session:
            assert old.empty(session, now)
    raise AssertionError("it never ends")


def kept(world: World) -> list[str]:
    with world.database.reading() as session:
        wanted = sa.select(Message.id).where(Message.content.is_not(None)).order_by(Message.id)
        return list(session.scalars(wanted))


def test_all_that_is_old_and_has_ended_is_emptied_step_by_step(world: World, old: OldMessages):
    made = add(world, ["delivered"] * 5 + ["queued", "sending"] + ["failed"] * 7)
    new = add(world, ["delivered"] * 4, LATER - timedelta(days=29))
    assert run(world, old) > 5
    assert kept(world) == [*made[5:7], *new]


def test_a_message_keeps_its_row(world: World, old: OldMessages):
    (message_id,) = add(world, ["delivered"])
    run(world, old)
    with world.database.reading() as session:
        message = session.get_one(Message, message_id)
        assert (message.status, message.to_number, message.purged_at) == ("delivered", None, LATER)


def test_what_grows_old_during_the_day_is_found_without_a_new_pass(world: World, old: OldMessages):
    add(world, ["delivered"] * 7)
    add(world, ["delivered"] * 2, LATER - timedelta(days=30) + timedelta(minutes=5))
    run(world, old)
    assert len(kept(world)) == 2
    run(world, old, LATER + timedelta(minutes=10))
    assert kept(world) == []


def test_what_has_ended_since_the_search_went_by_is_emptied_a_day_later(
    world: World, old: OldMessages
):
    first, *_ = add(world, ["sending"] + ["delivered"] * 9)
    run(world, old)
    with world.database.transaction() as session:
        session.get_one(Message, first).status = "sent"
    assert run(world, old) == 0
    run(world, old, LATER + timedelta(days=1))
    assert kept(world) == []


def test_what_is_resent_between_the_search_and_the_step_is_kept(world: World, old: OldMessages):
    (message_id,) = add(world, ["failed"])
    with world.database.reading() as session:
        assert old.find(session, LATER)
    with world.database.transaction() as session:
        session.get_one(Message, message_id).status = "queued"
    with world.database.transaction() as session:
        old.empty(session, LATER)
    assert kept(world) == [message_id]


def test_without_a_retention_time_nothing_is_searched(world: World):
    add(world, ["delivered"])
    assert run(world, OldMessages(replace(world.settings, retention_days=0))) == 0


def test_the_beginning_of_a_text_and_an_upload_nobody_queued_are_forgotten(world: World):
    settings = replace(world.settings, retention_days=30)
    with world.database.transaction() as session:
        session.add(
            Bulk(
                id="bulk_1",
                crm_id=world.crm_id,
                name="Dear Ms Doe, your test",
                queued_by="clerk",
                row_count=1,
                done_count=1,
                created_at=NOW,
            )
        )
        session.add(
            BulkSheet(
                id="bulk_2",
                crm_id=world.crm_id,
                name="patients.csv",
                uploaded_by="clerk",
                zone="UTC",
                rows=[["to", "content"]],
                created_at=NOW,
            )
        )
    with world.database.transaction() as session:
        retention.remove_rest(session, settings, LATER)
        bulk_sheets.forget(session, NOW + timedelta(hours=25))
    with world.database.reading() as session:
        assert session.scalars(sa.select(Bulk.name)).all() == [""]
        assert session.scalars(sa.select(BulkSheet)).all() == []
