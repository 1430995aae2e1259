"""Typed queries: values go in and rows come out as SQLAlchemy would have it, errors are its own, and rows fit."""

import gc
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import crms
from smsgw.store.arrays import is_any_of
from smsgw.store.inserts import Insert
from smsgw.store.models import Crm, Device, Message
from smsgw.store.queries import Change, Query, RowUpdate, not_null
from smsgw.store.rows import MESSAGE_COLUMNS, MessageRow
from smsgw.store.tables import plain

from ..noting import noted

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EAST = NOW.astimezone(timezone(timedelta(hours=2)))
IDS = [f"msg_{number:032x}" for number in range(9)]
TEXT = "50 % off? :now $1 %s ŝ"


class Offer(NamedTuple):
    id: str
    offer: str


class Count(NamedTuple):
    number: int
    last: str


class Taken(NamedTuple):
    id: str
    updated_at: datetime
    reason: str | None


class Seen(NamedTuple):
    enabled: bool
    last_seen_at: datetime | None


@dataclass(slots=True)
class Name:
    id: str
    name: str


IDS_GIVEN: sa.BindParameter[list[str]] = sa.bindparam("ids", expanding=True)
OF_IDS = Query(
    MessageRow,
    sa.select(*MESSAGE_COLUMNS)
    .where(Message.id.in_(IDS_GIVEN), Message.segments == 1)
    .order_by(Message.id),
)
ANY_OF_IDS = Query(
    str,
    lambda dialect: (
        sa.select(Message.id)
        .where(is_any_of(Message.id, "ids", dialect))
        .order_by(Message.id)
        .with_for_update()
    ),
)
SINCE = Query(
    Offer,
    sa.select(Message.id, sa.literal("50 % off").label("offer")).where(
        Message.created_at >= sa.bindparam("since", type_=Message.created_at.type),
        Message.content == sa.bindparam("content"),
        Message.id.in_(IDS_GIVEN),
    ),
)
AT_MOMENTS = Query(
    str,
    sa.select(Message.id).where(
        Message.created_at.in_(
            sa.bindparam("moments", type_=Message.created_at.type, expanding=True)
        )
    ),
)
COUNTED = Query(
    Count,
    sa.select(sa.func.count().label("number"), sa.func.max(Message.id).label("last")).select_from(
        Message
    ),
)
TAKE = Query(
    Taken,
    sa.update(plain(Message))
    .where(Message.id.in_(IDS_GIVEN))
    .values(
        {
            Message.status: "dispatched",
            Message.updated_at: sa.bindparam("now"),
            Message.reason: sa.bindparam("why"),
        }
    )
    .returning(Message.id, Message.updated_at, Message.reason),
)
MOVE = RowUpdate(Message, MessageRow, "reason", "metadata_")
REMOVE = Change(sa.delete(plain(Message)).where(Message.id.in_(IDS_GIVEN)))
# The first row is fine, so SQLite finds out while the second is fetched.
OVERFLOWING = Query(
    int,
    sa.union_all(
        sa.select(sa.literal_column("1", sa.Integer)),
        sa.select(sa.literal_column("abs(-9223372036854775807 - 1)", sa.Integer)),
    ),
)
OF_DEVICE = Query(
    Seen, sa.select(Device.enabled, Device.last_seen_at).where(Device.id == "phone-1")
)
NAME = Query(str, sa.select(Crm.name).where(Crm.id == sa.bindparam("crm_id", type_=sa.String)))
NAMES = Query(Name, sa.select(Crm.id, Crm.name).order_by(Crm.id))
INSERT = Insert(Message, MessageRow)


@pytest.fixture
def session(world):
    with world.database.transaction() as session:
        INSERT.all(session, [_message(message_id) for message_id in IDS])
        yield session


def _message(message_id):
    return MessageRow(
        id=message_id,
        direction="outbound",
        status="queued",
        encoding="gsm7",
        segments=1,
        content=TEXT,
        created_at=EAST,
        updated_at=NOW + timedelta(microseconds=1),
        metadata_={"a": ["b", 1.5, None]},
    )


@pytest.mark.parametrize("count", range(10))
def test_lists_of_any_length_find_what_they_name(session, count):
    found = OF_IDS.all(session, ids=IDS[:count])
    assert [row.id for row in found] == IDS[:count]
    assert ANY_OF_IDS.all(session, ids=IDS[:count]) == IDS[:count]


def test_a_list_may_name_what_is_not_there(session):
    found = OF_IDS.all(session, ids=["msg_x", IDS[3], "msg_y"])
    assert [row.id for row in found] == [IDS[3]]
    odd = ["", "NULL", '"', "back\\slash\\", "a, b; {c}", TEXT]
    assert ANY_OF_IDS.all(session, ids=[*odd, IDS[3]]) == [IDS[3]]


def test_a_list_may_have_a_thousand_values(session):
    found = OF_IDS.all(session, ids=[*(f"msg_{n}" for n in range(1200)), *IDS])
    assert [row.id for row in found] == IDS


def test_rows_are_those_of_sqlalchemy(session):
    ours = OF_IDS.one(session, ids=IDS[:1])
    (theirs,) = session.execute(sa.select(*MESSAGE_COLUMNS).where(Message.id == IDS[0])).all()
    for name, value in theirs._mapping.items():
        assert getattr(ours, name) == value
    assert (ours.created_at, ours.metadata_) == (NOW, {"a": ["b", 1.5, None]})
    assert ours.created_at.tzinfo is UTC


def test_columns_that_are_worked_out_have_a_name(session):
    assert COUNTED.one(session) == Count(9, IDS[-1])


def test_booleans_and_nothing_come_as_such(world, session):
    assert OF_DEVICE.one(session) == (True, None)
    found = OF_DEVICE.read(world.database)
    assert found is not None
    assert (found.enabled is True, found.last_seen_at) == (True, None)


def test_texts_with_the_marks_of_drivers_are_only_texts(session):
    values = {"since": EAST, "content": TEXT, "ids": IDS[:2]}
    assert sorted(SINCE.all(session, **values)) == [(IDS[0], "50 % off"), (IDS[1], "50 % off")]
    assert SINCE.all(session, **{**values, "since": NOW + timedelta(seconds=1)}) == []


def test_lists_are_written_as_their_type_says(session):
    found = AT_MOMENTS.all(session, moments=[EAST, NOW - timedelta(days=1), NOW])
    assert sorted(found) == IDS


def test_an_update_gives_back_what_it_returns(session):
    later = NOW + timedelta(hours=1)
    taken = TAKE.all(session, ids=IDS[:3], now=later, why=None)
    assert sorted(taken) == [(message_id, later, None) for message_id in IDS[:3]]


def test_a_change_is_there_for_the_next_query(session):
    REMOVE.run(session, ids=IDS[:4])
    assert [row.id for row in OF_IDS.all(session, ids=IDS)] == IDS[4:]


def test_changed_rows_are_written_back(session):
    rows = OF_IDS.all(session, ids=IDS[:3])
    for row in rows:
        row.reason, row.metadata_, row.status = row.id[-1], {"n": 1}, "not written"
    MOVE.all(session, rows)
    found = OF_IDS.all(session, ids=IDS[:4])
    assert [row.reason for row in found] == ["0", "1", "2", None]
    assert [row.metadata_ for row in found[:3]] == [{"n": 1}] * 3
    assert {row.status for row in found} == {"queued"}


def test_no_changed_rows_are_no_statement(world):
    with world.database.transaction() as session, noted(world.database) as seen:
        MOVE.all(session, [])
    assert seen == []


def test_the_first_row_or_none_can_be_had(session):
    assert NAME.find(session, crm_id="crm_nobody") is None
    found = NAMES.find(session)
    assert found is not None
    assert found.name == "clinic"
    with pytest.raises(ValueError, match="expected 1"):
        NAME.one(session, crm_id="crm_nobody")


def test_values_are_those_the_statement_names_and_no_others(session):
    with pytest.raises(TypeError, match="now"):
        TAKE.all(session, ids=IDS[:1], why=None)
    with pytest.raises(TypeError, match="whyy"):
        TAKE.all(session, ids=IDS[:1], why=None, now=NOW, whyy=None)


def test_errors_are_sqlalchemys_and_hold_no_values(world):
    with world.database.transaction() as session:
        INSERT.all(session, [_message(IDS[0])])
        with pytest.raises(sa.exc.IntegrityError) as raised:
            INSERT.all(session, [_message(IDS[0])])
        session.rollback()
    assert "50 % off" not in str(raised.value)
    with world.database.reading() as session:
        assert OF_IDS.all(session, ids=IDS) == []


def test_an_error_while_rows_are_fetched_is_sqlalchemys_too(world):
    with world.database.transaction() as session:
        with pytest.raises(sa.exc.DBAPIError):
            OVERFLOWING.all(session)
        session.rollback()
    with pytest.raises(sa.exc.DBAPIError):
        MISSING.read(world.database)


MISSING = Query(int, sa.select(sa.column("x", sa.Integer)).select_from(sa.table("not_there")))


def test_what_the_session_has_not_written_is_written_first(world):
    with world.database.transaction() as session:
        crm, _ = crms.add(session, "bakery", None, NOW)
        crm.name = "surgery"
        assert NAME.one(session, crm_id=crm.id) == "surgery"
        crm.name = "school"
        TAKE.all(session, ids=IDS[:1], now=NOW, why=None)
        assert session.scalar(sa.text("select name from crms where name = 'school'"))


def test_a_read_sees_what_is_committed_and_nothing_else(world):
    with world.database.transaction() as session:
        crms.get(session, world.crm_id).name = "surgery"
        session.flush()
        assert NAME.read(world.database, crm_id=world.crm_id) == "clinic"
    assert NAME.read(world.database, crm_id=world.crm_id) == "surgery"
    assert NAME.read(world.database, crm_id="crm_nobody") is None


def test_a_query_that_is_made_for_each_call_never_gives_the_row_of_another(world):
    """Where what was compiled is kept by a statement's address, a new statement gets what an old one left there."""
    wrong = []

    def ask(start):
        for number in range(start, start + 200):
            text = sa.literal(f"text {number}").label("text")
            if Query(str, sa.select(text)).read(world.database) != f"text {number}":
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert wrong == []


class Shorter(NamedTuple):
    id: str


class Misspelt(NamedTuple):
    id: str
    to_numbr: str | None
    due_at: datetime | None


class Reordered(NamedTuple):
    to_number: str | None
    id: str
    due_at: datetime | None


class NeverNull(NamedTuple):
    id: str
    to_number: str
    due_at: datetime | None


class OfText(NamedTuple):
    id: str
    to_number: str | None
    due_at: str | None


class Untyped(NamedTuple):
    id: str
    to_number: Any
    due_at: datetime | None


class Fitting(NamedTuple):
    id: str
    to_number: str | None
    due_at: datetime | None


@pytest.mark.parametrize(
    "row", [Shorter, Misspelt, Reordered, NeverNull, OfText, Untyped, str, dict]
)
def test_a_row_class_that_does_not_fit_is_refused_when_the_query_is_made(row):
    with pytest.raises(TypeError):
        Query(row, sa.select(Message.id, Message.to_number, Message.due_at))
    Query(Fitting, sa.select(Message.id, Message.to_number, Message.due_at))


def test_a_single_column_is_of_the_type_that_is_said():
    for kind, column in ((str, Message.to_number), (int, Message.id), (bool, Message.segments)):
        with pytest.raises(TypeError):
            Query(kind, sa.select(column))
    Query(str, sa.select(not_null(Message.to_number)))


def test_changed_columns_are_those_of_the_row_and_the_table():
    for name in ("statu", "crm"):
        with pytest.raises(KeyError):
            RowUpdate(Message, MessageRow, name)


def test_a_change_that_gives_rows_is_refused():
    with pytest.raises(TypeError):
        Change(sa.delete(plain(Message)).returning(Message.id))
