"""Constant statements: values go in and rows come out as SQLAlchemy would have it, errors are its own."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from smsgw.core import crms
from smsgw.core.rows import MESSAGE_COLUMNS, MESSAGES
from smsgw.store.db import insert, run, run_many
from smsgw.store.models import Device, Message

from ..noting import noted

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EAST = NOW.astimezone(timezone(timedelta(hours=2)))
IDS = [f"msg_{number:032x}" for number in range(9)]
TEXT = "50 % off? :now $1 %s ŝ"

OF_IDS = (
    sa.select(*MESSAGE_COLUMNS)
    .where(Message.id.in_(sa.bindparam("ids", expanding=True)), Message.segments == 1)
    .order_by(Message.id)
)
SINCE = sa.select(Message.id, sa.literal("50 % off").label("offer")).where(
    Message.created_at >= sa.bindparam("since", type_=Message.created_at.type),
    Message.content == sa.bindparam("content"),
    Message.id.in_(sa.bindparam("ids", expanding=True)),
)
AT_MOMENTS = sa.select(Message.id).where(
    Message.created_at.in_(sa.bindparam("moments", type_=Message.created_at.type, expanding=True))
)
COUNTED = sa.select(sa.func.count(), sa.func.max(Message.id)).select_from(Message)
TAKE = (
    sa.update(MESSAGES)
    .where(MESSAGES.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(status="dispatched", updated_at=sa.bindparam("now"), reason=sa.bindparam("why"))
    .returning(MESSAGES.c.id, MESSAGES.c.updated_at, MESSAGES.c.reason)
)
MOVE = (
    sa.update(MESSAGES)
    .where(MESSAGES.c.id == sa.bindparam("key"))
    .values(reason=sa.bindparam("new_reason"), metadata=sa.bindparam("new_metadata"))
)
REMOVE = sa.delete(MESSAGES).where(MESSAGES.c.id.in_(sa.bindparam("ids", expanding=True)))
# The first row is fine, so SQLite finds out while the second is fetched.
OVERFLOWING = sa.union_all(
    sa.select(sa.literal_column("1")),
    sa.select(sa.literal_column("abs(-9223372036854775807 - 1)")),
)
OF_DEVICE = sa.select(Device.enabled, Device.last_seen_at).where(Device.id == "phone-1")


@pytest.fixture
def session(world):
    with world.database.transaction() as session:
        insert(session, Message, [_message(message_id) for message_id in IDS])
        yield session


def _message(message_id):
    return {
        "id": message_id,
        "direction": "outbound",
        "status": "queued",
        "encoding": "gsm7",
        "segments": 1,
        "content": TEXT,
        "created_at": EAST,
        "updated_at": NOW + timedelta(microseconds=1),
        "metadata": {"a": ["b", 1.5, None]},
    }


@pytest.mark.parametrize("count", range(10))
def test_lists_of_any_length_find_what_they_name(session, count):
    found = run(session, OF_IDS, {"ids": IDS[:count]})
    assert [row.id for row in found] == IDS[:count]


def test_a_list_may_name_what_is_not_there(session):
    found = run(session, OF_IDS, {"ids": ["msg_x", IDS[3], "msg_y"]})
    assert [row.id for row in found] == [IDS[3]]


def test_a_list_may_have_a_thousand_values(session):
    found = run(session, OF_IDS, {"ids": [*(f"msg_{n}" for n in range(1200)), *IDS]})
    assert [row.id for row in found] == IDS


def test_rows_are_those_of_sqlalchemy(session):
    (ours,) = run(session, OF_IDS, {"ids": IDS[:1]})
    (theirs,) = session.connection().execute(OF_IDS, {"ids": IDS[:1]}).all()
    assert ours._asdict() == dict(theirs._mapping)
    assert (ours.created_at, ours.metadata_) == (NOW, {"a": ["b", 1.5, None]})
    assert ours.created_at.tzinfo is UTC


def test_columns_without_a_name_are_read_by_place(session):
    ((count, last),) = run(session, COUNTED, {})
    assert (count, last) == (9, IDS[-1])


def test_booleans_and_nothing_come_as_such(session):
    ((enabled, last_seen_at),) = run(session, OF_DEVICE, {})
    assert (enabled, last_seen_at) == (True, None)


def test_texts_with_the_marks_of_drivers_are_only_texts(session):
    values = {"since": EAST, "content": TEXT, "ids": IDS[:2]}
    assert sorted(run(session, SINCE, values)) == [(IDS[0], "50 % off"), (IDS[1], "50 % off")]
    assert run(session, SINCE, {**values, "since": NOW + timedelta(seconds=1)}) == []


def test_lists_are_written_as_their_type_says(session):
    found = run(session, AT_MOMENTS, {"moments": [EAST, NOW - timedelta(days=1), NOW]})
    assert sorted(row.id for row in found) == IDS


def test_an_update_gives_back_what_it_returns(session):
    later = NOW + timedelta(hours=1)
    taken = run(session, TAKE, {"ids": IDS[:3], "now": later, "why": None})
    assert sorted(taken) == [(message_id, later, None) for message_id in IDS[:3]]


def test_a_statement_without_rows_gives_none(session):
    assert run(session, REMOVE, {"ids": IDS[:4]}) == []
    assert [row.id for row in run(session, OF_IDS, {"ids": IDS})] == IDS[4:]


def test_many_values_go_one_after_the_other(session):
    run_many(
        session,
        MOVE,
        [
            {"key": message_id, "new_reason": message_id[-1], "new_metadata": {"n": 1}}
            for message_id in IDS[:3]
        ],
    )
    found = run(session, OF_IDS, {"ids": IDS[:4]})
    assert [row.reason for row in found] == ["0", "1", "2", None]
    assert [row.metadata_ for row in found[:3]] == [{"n": 1}] * 3


def test_no_values_are_no_statement(world):
    with world.database.transaction() as session, noted(world.database) as seen:
        run_many(session, MOVE, [])
    assert seen == []


def test_a_value_that_is_missing_is_an_error_and_no_null(session):
    with pytest.raises(KeyError, match="now"):
        run(session, TAKE, {"ids": IDS[:1], "why": None})


def test_errors_are_sqlalchemys_and_hold_no_values(world):
    with world.database.transaction() as session:
        insert(session, Message, [_message(IDS[0])])
        with pytest.raises(sa.exc.IntegrityError) as raised:
            insert(session, Message, [_message(IDS[0])])
        session.rollback()
    assert "50 % off" not in str(raised.value)
    with world.database.reading() as session:
        assert run(session, OF_IDS, {"ids": IDS}) == []


def test_an_error_while_rows_are_fetched_is_sqlalchemys_too(world):
    with world.database.transaction() as session:
        with pytest.raises(sa.exc.DBAPIError):
            run(session, OVERFLOWING, {})
        session.rollback()


def test_what_the_session_has_not_written_is_not_seen(world):
    with world.database.transaction() as session:
        crm, _ = crms.add(session, "bakery", None, NOW)
        names = sa.select(crms.Crm.name).where(crms.Crm.id == crm.id)
        crm.name = "surgery"
        assert run(session, names, {}) == [("bakery",)]
        session.flush()
        assert run(session, names, {}) == [("surgery",)]
