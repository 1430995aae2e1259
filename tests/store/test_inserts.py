"""Inserts of typed rows: what goes in comes out as the columns' types say, also with defaults and by the thousand."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import crms
from smsgw.store.inserts import Insert, InsertNew
from smsgw.store.models import Crm, Delivery, Dispatch, HistoryEntry, Message, Operator

from ..noting import noted

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EAST = NOW.astimezone(timezone(timedelta(hours=2)))


@dataclass
class Sent:
    """A message, and what is not written of it."""

    id: str
    direction: str = "outbound"
    status: str = "queued"
    encoding: str = "gsm7"
    segments: int = 1
    content: str | None = "50 % off? :now $1 ŝ"
    created_at: datetime = EAST
    updated_at: datetime = NOW + timedelta(microseconds=1)
    metadata_: dict[str, Any] | None = None
    reference: str | None = None
    crm_id: str | None = None
    remark: str = "not a column"


COLUMNS = [name for name in Sent.__annotations__ if name != "remark"]
SENT = Insert(Message, Sent, *COLUMNS)
NEW_SENT = InsertNew(
    Message, Sent, *COLUMNS, conflict_on=[Message.crm_id, Message.reference], returning=Message.id
)


class Handed(NamedTuple):
    id: str
    message_id: str
    device_id: str
    status: str
    segments: int
    hand_out_count: int
    status_at: datetime
    handed_out_at: datetime
    last_handed_out_at: datetime
    lease_until: datetime


HANDED = Insert(Dispatch, Handed)


class NewOperator(NamedTuple):
    name: str
    key_hash: str
    created_at: datetime


OPERATORS = Insert(Operator, NewOperator)


def _sent(number, **more):
    return Sent(f"msg_{number:032x}", **more)


def test_values_come_back_as_they_went_in(world):
    with world.database.transaction() as session:
        SENT.all(session, [_sent(1, metadata_={"a": ["b", 1.5, None]}), _sent(2)])
    with world.database.reading() as session:
        one, two = session.scalars(sa.select(Message).order_by(Message.id))
        assert (one.metadata_, two.metadata_) == ({"a": ["b", 1.5, None]}, None)
        assert (one.content, one.created_at) == ("50 % off? :now $1 ŝ", NOW)
        assert one.updated_at == NOW + timedelta(microseconds=1)
        assert session.scalar(sa.text("select count(*) from messages where metadata is null")) == 1


def test_what_is_left_out_gets_its_columns_default(world):
    with world.database.transaction() as session:
        SENT.all(session, [_sent(1)])
    with world.database.reading() as session:
        assert session.scalars(sa.select(Message.priority)).all() == [4]


def test_a_default_that_has_to_be_worked_out_is_refused():
    class Made(NamedTuple):
        id: int

    table = sa.Table(
        "made",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.String, default=lambda: "now"),
    )
    with pytest.raises(TypeError, match=r"made\.at"):
        Insert(table, Made)


class Nameless(NamedTuple):
    key_hash: str
    created_at: datetime


class Misspelt(NamedTuple):
    nam: str
    key_hash: str
    created_at: datetime


class Undated(NamedTuple):
    name: str
    key_hash: str
    created_at: datetime | None


class Numbered(NamedTuple):
    name: int
    key_hash: str
    created_at: datetime


@pytest.mark.parametrize("row", [Nameless, Misspelt, Undated, Numbered, dict])
def test_rows_that_do_not_fit_the_table_are_refused_before_anything_runs(row):
    with pytest.raises((TypeError, KeyError)):
        Insert(Operator, row)


def test_a_field_that_is_no_column_is_refused_before_anything_runs():
    with pytest.raises(KeyError, match="remark"):
        Insert(Message, Sent)
    with pytest.raises(KeyError, match="statu"):
        Insert(Message, Sent, "id", "statu")


def test_keys_that_the_database_counts_need_no_field():
    class Entry(NamedTuple):
        message_id: str
        status: str
        at: datetime

    Insert(HistoryEntry, Entry)


def test_defaults_of_columns_that_may_be_null_are_written_too(world):
    """A delivery without a `retry_step` would be a single attempt."""

    class New(NamedTuple):
        id: str
        event_id: str
        endpoint_id: str
        created_at: datetime

    insert = Insert(Delivery, New)
    with world.database.engine.connect() as connection:
        ((text, values),) = insert._statements(connection.dialect, [New("d", "e", "p", NOW)])
    names = text.partition("(")[2].partition(")")[0].split(", ")
    assert dict(zip(names, values, strict=True))["retry_step"] == 0


def test_no_rows_are_no_statement(database):
    with database.transaction() as session, noted(database) as seen:
        OPERATORS.all(session, [])
        assert NEW_SENT.new(session, []) == []
    assert seen == []


def test_more_new_rows_than_one_statement_holds(world):
    with world.database.transaction() as session:
        crm = crms.get(session, world.crm_id)
        rows = [_sent(n, reference=f"r{n}", crm_id=crm.id) for n in range(5000)]
        NEW_SENT.new(session, rows[:10])
        assert set(NEW_SENT.new(session, rows)) == {row.id for row in rows[10:]}


def test_what_the_session_has_not_written_goes_in_first(world):
    """Here a foreign key would be broken otherwise."""
    with world.database.transaction() as session:
        session.add(
            Crm(id="crm_new", name="new", key_hash="x", uses_all_devices=True, created_at=NOW)
        )
        SENT.all(session, [_sent(1, crm_id="crm_new")])


@pytest.mark.parametrize("count", [1, 3])
def test_a_refused_row_is_an_error_of_sqlalchemy(world, count):
    rows = [
        Handed(f"d{n}", "msg_0", "phone-1", "dispatched", 1, 1, NOW, NOW, NOW, NOW)
        for n in range(count)
    ]
    with pytest.raises(sa.exc.IntegrityError), world.database.transaction() as session:
        HANDED.all(session, rows)
