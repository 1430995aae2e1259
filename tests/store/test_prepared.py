"""Statements that are run by libpq: prepared once on a connection, whatever happens to its transactions."""

import pytest
import sqlalchemy as sa

from smsgw.store import outages
from smsgw.store.db import Database
from smsgw.store.queries import Query

_PREPARED = Query(
    int, sa.select(sa.func.count().label("count")).select_from(sa.table("pg_prepared_statements"))
)
_PID = Query(int, sa.select(sa.func.pg_backend_pid().label("pid")))
_QUOTIENT = Query(
    int, sa.select((sa.literal(1) // sa.bindparam("by", type_=sa.Integer)).label("quotient"))
)


@pytest.fixture
def postgresql(database: Database) -> Database:
    if database.is_sqlite:
        pytest.skip("SQLite's driver keeps its statements")
    return database


def test_a_statement_is_prepared_once_on_a_connection_and_outlives_a_rollback(
    postgresql: Database,
):
    assert [_counted(postgresql), _counted(postgresql)] == [2, 2]
    with pytest.raises(sa.exc.DataError):
        _counted(postgresql, by=0)
    assert _counted(postgresql) == 2


def test_a_connection_that_the_server_has_ended_is_an_outage_and_is_made_anew(
    postgresql: Database,
):
    with pytest.raises(sa.exc.OperationalError) as error:
        _end_own_connection(postgresql)
    assert outages.is_outage(error.value)
    assert _counted(postgresql) == 2


def _counted(database: Database, by: int = 1) -> int:
    """Run two statements, and return how many are prepared then."""
    with database.transaction() as session:
        _QUOTIENT.one(session, by=by)
        return _PREPARED.one(session)


def _end_own_connection(database: Database) -> None:
    with database.transaction() as session, database.reading() as other:
        pid = _PID.one(session)
        other.execute(sa.select(sa.func.pg_terminate_backend(pid))).one()
        _PID.one(session)
