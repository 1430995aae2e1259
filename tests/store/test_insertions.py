"""Insertions: what goes in comes out as the columns' types say, also with defaults and by the thousand."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from smsgw.core import crms
from smsgw.store import insertions
from smsgw.store.db import insert, insert_new
from smsgw.store.models import Dispatch, Message, Operator

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EAST = NOW.astimezone(timezone(timedelta(hours=2)))


def _message(number, **more):
    return {
        "id": f"msg_{number:032x}",
        "direction": "outbound",
        "status": "queued",
        "encoding": "gsm7",
        "segments": 1,
        "content": "50 % off? :now $1 ŝ",
        "created_at": EAST,
        "updated_at": NOW + timedelta(microseconds=1),
        "metadata": None,
        **more,
    }


def test_values_come_back_as_they_went_in(world):
    with world.database.transaction() as session:
        insert(session, Message, [_message(1, metadata={"a": ["b", 1.5, None]}), _message(2)])
    with world.database.reading() as session:
        one, two = session.scalars(sa.select(Message).order_by(Message.id))
        assert (one.metadata_, two.metadata_) == ({"a": ["b", 1.5, None]}, None)
        assert (one.content, one.created_at) == ("50 % off? :now $1 ŝ", NOW)
        assert one.updated_at == NOW + timedelta(microseconds=1)
        assert session.scalar(sa.text("select count(*) from messages where metadata is null")) == 1


def test_what_is_left_out_gets_its_columns_default(world):
    with world.database.transaction() as session:
        insert(session, Message, [_message(1)])
    with world.database.reading() as session:
        assert session.scalars(sa.select(Message.priority)).all() == [4]


def test_a_default_that_has_to_be_worked_out_is_refused(database):
    made = sa.Table("made", sa.MetaData(), sa.Column("at", sa.String, default=lambda: "now"))
    with pytest.raises(TypeError, match=r"made\.at"):
        insertions.plain(database.engine.dialect, made, ())


def test_no_rows_are_no_statement(database):
    with database.transaction() as session:
        insert(session, Operator, [])
        assert insert_new(session, Operator, [], Operator.name, ["name"]) == []


def test_more_new_rows_than_one_statement_holds(world):
    with world.database.transaction() as session:
        crm = crms.get(session, world.crm_id)
        rows = [_message(n, reference=f"r{n}", crm_id=crm.id) for n in range(5000)]
        insert_new(session, Message, rows[:10], Message.id, ["crm_id", "reference"])
        made = insert_new(session, Message, rows, Message.id, ["crm_id", "reference"])
        assert set(made) == {row["id"] for row in rows[10:]}


@pytest.mark.parametrize("count", [1, 3])
def test_a_refused_row_is_an_error_of_sqlalchemy(world, count):
    row = {"id": "d", "message_id": "msg_0", "device_id": "phone-1", "status": "dispatched"}
    row |= {"segments": 1, "hand_out_count": 1}
    row |= dict.fromkeys(("status_at", "handed_out_at", "last_handed_out_at", "lease_until"), NOW)
    with pytest.raises(sa.exc.IntegrityError), world.database.transaction() as session:
        insert(session, Dispatch, [{**row, "id": f"d{n}"} for n in range(count)])
