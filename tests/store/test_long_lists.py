"""Lists of any length: a statement never has more values than its database takes."""

import pytest
import sqlalchemy as sa

from smsgw.store.db import Database, insert, insert_new, run, run_many
from smsgw.store.models import RateLimit
from smsgw.store.tables import plain

LONG = 70_000
_KEYS = plain(RateLimit).c.key
_FOUND = (
    sa.select(RateLimit.key)
    .where(RateLimit.key.in_(sa.bindparam("keys", expanding=True)))
    .order_by(RateLimit.key)
)
_FOUND_TWICE = _FOUND.where(RateLimit.key.in_(sa.bindparam("also", expanding=True)))
_UPDATE = (
    sa.update(plain(RateLimit))
    .where(_KEYS.in_(sa.bindparam("keys", expanding=True)))
    .values(arrival=2.0)
)
_DELETE = (
    sa.delete(plain(RateLimit))
    .where(_KEYS.in_(sa.bindparam("keys", expanding=True)))
    .returning(_KEYS)
)


def test_lists_of_any_length_are_looked_up_changed_and_removed(database: Database):
    keys = [f"{number:05}" for number in range(LONG)]
    there = [keys[0], keys[30_000], keys[-1]]
    with database.transaction() as session:
        insert(session, RateLimit, [_row(key) for key in there])
        assert [row.key for row in run(session, _FOUND, {"keys": keys})] == there
        rows = run(session, _FOUND_TWICE, {"keys": keys, "also": keys[20_000:]})
        assert [row.key for row in rows] == there[1:]
        run(session, _UPDATE, {"keys": keys})
        assert set(session.scalars(sa.select(RateLimit.arrival))) == {2.0}
        assert [row.key for row in run(session, _DELETE, {"keys": keys})] == there
        assert run(session, _FOUND, {"keys": []}) == []


def test_any_number_of_rows_is_put_in_and_changed(database: Database):
    rows = [_row(f"{number:05}") for number in range(LONG)]
    with database.transaction() as session:
        insert(session, RateLimit, rows[:35_000])
        new = insert_new(session, RateLimit, rows, RateLimit.key, ["key"])
        assert len(new) == LONG - 35_000
        key, arrival = sa.bindparam("wanted", type_=sa.String), sa.bindparam("then")
        change = sa.update(plain(RateLimit)).where(key == _KEYS).values(arrival=arrival)
        run_many(session, change, [{"wanted": row["key"], "then": 3.0} for row in rows[:20]])
        moved = sa.select(sa.func.count()).where(RateLimit.arrival == 3.0)
        assert session.scalar(moved) == 20


def test_rows_inserted_together_are_of_any_number(database: Database):
    database.insert_together({RateLimit: [_row(f"{number:05}") for number in range(LONG)]})
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RateLimit)) == LONG


def test_a_statement_with_a_limit_is_never_cut_into_slices(database: Database):
    with database.transaction() as session, pytest.raises(TypeError, match="LIMIT"):
        run(session, _FOUND.limit(1), {"keys": ["x"] * LONG})


def _row(key: str) -> dict[str, object]:
    return {"key": key, "arrival": 1.0, "was_allowed": True}
