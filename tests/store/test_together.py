"""Writes of several tables at once: what goes in comes out, in its order, and on PostgreSQL with one statement."""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from smsgw.store import arrays, migrations
from smsgw.store.db import Database, is_postgresql
from smsgw.store.inserts import Insert
from smsgw.store.models import HistoryEntry, Message
from smsgw.store.queries import RowUpdate
from smsgw.store.together import Together

from ..noting import noted

NOW = datetime(2026, 3, 1, 12, 0, 0, 7, tzinfo=UTC)
EAST = NOW.astimezone(timezone(timedelta(hours=2)))
TEXTS = [
    "",
    "NULL",
    '"{a,b}"',
    "back\\slash\\",
    "a, b; {c}",
    "line\nbreak\ttab ",
    "50 % off? :now $1 %s ŝ 😀",
    None,
]


@dataclass
class Sent:
    """A message."""

    id: str
    content: str | None
    reason: str | None = None
    direction: str = "outbound"
    status: str = "queued"
    encoding: str = "gsm7"
    segments: int = 1
    priority: int = 9
    created_at: datetime = EAST
    updated_at: datetime = NOW


class Entry(NamedTuple):
    message_id: str
    status: str
    reason: str | None
    at: datetime


SENT = Insert(Message, Sent)
NOTED = Insert(HistoryEntry, Entry)
REASONS = RowUpdate(Message, Sent, "reason", "segments", "updated_at")
BOTH = Together(SENT, NOTED)
ALL = Together(REASONS, SENT, NOTED)


def _sent(texts):
    return [Sent(f"msg_{number:032x}", text) for number, text in enumerate(texts)]


def _entries(rows):
    return [Entry(row.id, "queued", row.content, NOW) for row in reversed(rows)]


def test_rows_come_back_as_they_went_in_and_in_their_order(world):
    rows = _sent(TEXTS)
    with world.database.transaction() as session:
        BOTH.run(session, rows, _entries(rows))
    with world.database.reading() as session:
        messages = session.scalars(sa.select(Message).order_by(Message.id)).all()
        assert [one.content for one in messages] == TEXTS
        assert {(one.segments, one.priority, one.created_at) for one in messages} == {(1, 9, NOW)}
        noted_down = session.scalars(sa.select(HistoryEntry.reason).order_by(HistoryEntry.id))
        assert noted_down.all() == TEXTS[::-1]


def test_each_changed_row_is_written_to_the_row_with_its_id(world):
    rows = _sent(TEXTS)
    later = NOW + timedelta(days=1)
    with world.database.transaction() as session:
        SENT.all(session, rows)
        for number, row in enumerate(rows[1:]):
            row.reason, row.segments, row.updated_at = TEXTS[number], number, later
            row.content = "not written"
        ALL.run(session, rows[:0:-1], [Sent("msg_new", "new")], _entries(rows))
    with world.database.reading() as session:
        first, *changed, new = session.scalars(sa.select(Message).order_by(Message.id))
        assert (first.updated_at, new.content) == (NOW, "new")
        assert [one.reason for one in changed] == TEXTS[:-1]
        assert [one.segments for one in changed] == list(range(len(changed)))
        assert [one.content for one in changed] == TEXTS[1:]
        assert {one.updated_at for one in changed} == {later}


def test_postgresql_gets_one_statement_for_all_and_none_for_nothing(world):
    rows = _sent(TEXTS)
    with world.database.transaction() as session, noted(world.database) as seen:
        ALL.run(session, [], [], [])
        assert seen == []
        ALL.run(session, [], rows, _entries(rows))
        assert len(seen) == (1 if is_postgresql(session) else 2)


def test_changed_rows_are_found_by_their_ids_also_in_a_new_database(new_postgresql_url):
    with closing(Database(new_postgresql_url)) as database:
        migrations.upgrade(database)
        text, values = REASONS.in_arrays(database.engine.dialect, _sent(TEXTS))
        with database.engine.connect() as connection:
            text = text.replace("%s", "{}").format(*(f"${n}" for n in range(1, len(values) + 1)))
            connection.exec_driver_sql(f"PREPARE write AS {text}")
            nulls = ", ".join(["NULL"] * len(values))
            plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE write({nulls})").scalars().all()
    assert "Index Scan using pk_messages" in str(plan)
    assert "Seq Scan" not in str(plan)


def test_columns_that_the_driver_converts_are_refused_in_arrays():
    table = sa.Table("made", sa.MetaData(), sa.Column("pickled", sa.PickleType))
    with pytest.raises(TypeError, match=r"made\.pickled"):
        arrays.unnested(list(table.c), postgresql.dialect())
