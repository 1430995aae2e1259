"""Whether a running transaction has locked a row: known without waiting, and only while it runs."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from smsgw.store.models import Crm
from smsgw.store.queries import Query
from smsgw.store.row_locks import IsLocked

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FREE = Query(str, sa.select(Crm.name).where(~IsLocked(Crm)).order_by(Crm.name))
LOCK = sa.select(Crm).where(Crm.name == "a").with_for_update()


@pytest.fixture
def database(world):
    with world.database.transaction() as session:
        session.execute(sa.delete(Crm))
        session.add_all(
            Crm(id=f"crm_{name}", name=name, key_hash=name, uses_all_devices=True, created_at=NOW)
            for name in "ab"
        )
    return world.database


def free(database):
    with database.reading() as session:
        return FREE.all(session)


def test_a_row_that_a_transaction_has_locked_is_free_again_when_that_ends(database):
    is_shown = database.is_sqlite
    with database.transaction() as session:
        session.scalars(LOCK).one()
        assert free(database) == (["a", "b"] if is_shown else ["b"])
    assert free(database) == ["a", "b"]


def test_a_row_is_free_when_the_transaction_that_has_locked_or_changed_it_is_rolled_back(database):
    with suppress(RuntimeError), database.transaction() as session:
        session.scalars(LOCK).one().strict_numbers = True
        session.flush()
        raise RuntimeError
    assert free(database) == ["a", "b"]


def test_a_row_stays_free_while_older_transactions_run(database):
    with database.transaction() as older:
        older.scalars(sa.select(Crm).where(Crm.name == "b").with_for_update()).one()
        if not database.is_sqlite:
            with database.transaction() as session:
                session.scalars(LOCK).one()
            assert free(database) == ["a"]
    assert free(database) == ["a", "b"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_number_far_ahead_of_all_transactions_is_none_that_runs(database):
    """As of several that have locked a row together, which have numbers of their own, or from before an overflow."""
    is_locked = IsLocked(Crm).compile(dialect=database.engine.dialect)
    next_id = sa.text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    rows = sa.text(f"WITH crms(xmax) AS (VALUES (:number)) SELECT {is_locked} FROM crms")

    def is_taken_for_locked(ahead):
        with database.reading() as session:
            number = (session.scalars(next_id).one() + ahead) % 2**32
            return session.scalars(rows, {"number": number}).one()

    assert [is_taken_for_locked(ahead) for ahead in (-5000, 5000, 2**31, -(2**31))] == [False] * 4
    assert is_taken_for_locked(100)
