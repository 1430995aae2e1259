"""Statements of SQLAlchemy and statements of the driver alone are one transaction: all of it is kept, or nothing."""

from contextlib import suppress

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import crms
from smsgw.store.models import Crm
from smsgw.store.queries import Change, Query
from smsgw.store.tables import plain

from .test_queries import NOW

NAMES = Query(str, sa.select(Crm.name).where(Crm.id == sa.bindparam("crm_id")))
RENAME = Change(
    sa.update(plain(Crm))
    .where(Crm.id == sa.bindparam("crm_id"))
    .values({Crm.name: sa.bindparam("new_name")})
)
ROW = sa.select(Crm.name).where(Crm.id == sa.bindparam("crm_id"))


class Wrong(Exception):
    """Ends a transaction."""


@pytest.fixture
def crm_id(world) -> str:
    with world.database.transaction() as session:
        crm, _ = crms.add(session, "bakery", None, NOW)
        return crm.id


def name(world, crm_id: str) -> str:
    with world.database.reading() as session:
        return NAMES.one(session, crm_id=crm_id)


def test_each_sees_what_the_other_has_written(world, crm_id):
    with world.database.transaction() as session:
        RENAME.run(session, crm_id=crm_id, new_name="surgery")
        crm = session.get_one(Crm, crm_id)
        assert crm.name == "surgery"
        crm.name = "school"
        assert NAMES.one(session, crm_id=crm_id) == "school"
        RENAME.run(session, crm_id=crm_id, new_name="shop")
    assert name(world, crm_id) == "shop"


def test_what_only_the_driver_wrote_is_kept_where_the_session_has_begun_without_a_statement(
    world, crm_id
):
    with world.database.transaction() as session:
        RENAME.run(session, crm_id=crm_id, new_name="surgery")
        session.begin()
    assert name(world, crm_id) == "surgery"


@pytest.mark.parametrize("uses_sqlalchemy", [False, True])
def test_nothing_is_kept_after_an_error(world, crm_id, uses_sqlalchemy):
    with suppress(Wrong), world.database.transaction() as session:
        RENAME.run(session, crm_id=crm_id, new_name="surgery")
        if uses_sqlalchemy:
            session.execute(ROW, {"crm_id": crm_id})
        raise Wrong
    assert name(world, crm_id) == "bakery"


def test_no_statement_runs_where_the_session_has_rolled_back(world, crm_id):
    with world.database.transaction() as session:
        NAMES.one(session, crm_id=crm_id)
        session.add(Crm(id=crm_id, name="twin", key_hash="", created_at=NOW))
        with pytest.raises(sa.exc.IntegrityError):
            session.flush()
        with pytest.raises(sa.exc.PendingRollbackError):
            RENAME.run(session, crm_id=crm_id, new_name="surgery")
        session.rollback()
        assert NAMES.one(session, crm_id=crm_id) == "bakery"
        RENAME.run(session, crm_id=crm_id, new_name="shop")
    assert name(world, crm_id) == "shop"
