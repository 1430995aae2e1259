"""Lists of any length: a statement never has more values than its database takes."""

from typing import NamedTuple

import pytest
import sqlalchemy as sa

from smsgw.store.db import Database
from smsgw.store.inserts import Insert, InsertNew
from smsgw.store.models import RateLimit
from smsgw.store.queries import Change, Query
from smsgw.store.tables import plain


class Rate(NamedTuple):
    key: str
    arrival: float = 1.0
    was_allowed: bool = True


LONG = 70_000
_KEYS: sa.BindParameter[list[str]] = sa.bindparam("keys", expanding=True)
_ALSO: sa.BindParameter[list[str]] = sa.bindparam("also", expanding=True)
_SELECT = sa.select(RateLimit.key).where(RateLimit.key.in_(_KEYS)).order_by(RateLimit.key)
_FOUND = Query(str, _SELECT)
_FIRST_FOUND = Query(str, _SELECT.limit(1))
_FOUND_TWICE = Query(str, _SELECT.where(RateLimit.key.in_(_ALSO)))
_UPDATE = Change(
    sa.update(plain(RateLimit)).where(RateLimit.key.in_(_KEYS)).values({RateLimit.arrival: 2.0})
)
_DELETE = Query(
    str,
    sa.delete(plain(RateLimit)).where(RateLimit.key.in_(_KEYS)).returning(RateLimit.key),
)
_MOVE = Change(
    sa.update(plain(RateLimit))
    .where(sa.bindparam("wanted", type_=sa.String) == RateLimit.key)
    .values({RateLimit.arrival: sa.bindparam("then")})
)
_INSERT = Insert(RateLimit, Rate)
_INSERT_NEW = InsertNew(RateLimit, Rate, conflict_on=[RateLimit.key], returning=RateLimit.key)


def test_lists_of_any_length_are_looked_up_changed_and_removed(database: Database):
    keys = [f"{number:05}" for number in range(LONG)]
    there = [keys[0], keys[30_000], keys[-1]]
    with database.transaction() as session:
        _INSERT.all(session, [Rate(key) for key in there])
        assert _FOUND.all(session, keys=keys) == there
        assert _FOUND_TWICE.all(session, keys=keys[20_000:], also=keys[30_000:]) == there[1:]
        _UPDATE.run(session, keys=keys)
        assert set(session.scalars(sa.select(RateLimit.arrival))) == {2.0}
        assert _DELETE.all(session, keys=keys) == there
        assert _FOUND.all(session, keys=[]) == []


def test_any_number_of_rows_is_put_in_and_changed(database: Database):
    rows = [Rate(f"{number:05}") for number in range(LONG)]
    with database.transaction() as session:
        _INSERT.all(session, rows[:35_000])
        assert len(_INSERT_NEW.new(session, rows)) == LONG - 35_000
        _MOVE.run_each(session, [{"wanted": row.key, "then": 3.0} for row in rows[:20]])
        moved = sa.select(sa.func.count()).where(RateLimit.arrival == 3.0)
        assert session.scalar(moved) == 20


def test_rows_inserted_together_are_of_any_number(database: Database):
    batch = _INSERT.batch([Rate(f"{number:05}") for number in range(LONG)])
    database.insert_together([batch])
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RateLimit)) == LONG


def test_a_statement_with_a_limit_is_never_cut_into_slices(database: Database):
    with database.transaction() as session, pytest.raises(TypeError, match="LIMIT"):
        _FIRST_FOUND.all(session, keys=["x"] * LONG)
