"""What migration 0008 makes of devices that were there before anybody asked whose they are."""

import importlib
import logging

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from smsgw import ids
from smsgw.core.accounts import crms, ownership
from smsgw.core.devices import logins, routing
from smsgw.store import migrations
from smsgw.store.db import Database
from smsgw.store.models import Crm, Device
from tests.conftest import NOW

MIGRATION = "smsgw.store.migrations.versions.0008_who_devices_belong_to"
ALL, ONE, OTHER, GONE = (f"crm_{digit * 32}" for digit in "1234")
# Name: protocol, CRMs it was routed to.
DEVICES = {
    "added": ("cht", []),
    "added-for-one": ("cht", [ONE]),
    "gateway": ("mysmsapio", []),
    "anonymous": ("socket", []),
    "by-crm": ("socket", [ONE]),
    "by-crm-with-queue": ("socket", [ONE]),
    "by-crm-with-another-app": ("cht", [ONE]),
    "by-crm-others-sent": ("socket", [ONE]),
    "by-crm-others-received": ("socket", [ONE]),
    "by-crm-others-queued": ("socket", [ONE]),
    "shared": ("socket", [ONE, OTHER]),
    "by-crm-that-is-gone": ("socket", [GONE]),
}
MESSAGES = [
    ("outbound", "delivered", "by-crm", ONE),
    ("outbound", "queued", "by-crm-with-queue", ONE),
    ("outbound", "delivered", "by-crm-others-sent", ALL),
    ("outbound", "queued", "by-crm-others-queued", ALL),
    ("outbound", "queued", "added", ALL),
    ("inbound", "received", "by-crm-others-received", ALL),
    ("inbound", "received", "by-crm", ONE),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request, tmp_path):
    """A database at revision 0004 with devices of each kind, messages queued among them."""
    is_sqlite = request.param == "sqlite"
    fixture = "new_postgresql_url"
    database = Database(
        f"sqlite:///{tmp_path}/old.db" if is_sqlite else request.getfixturevalue(fixture)
    )
    migrations.upgrade(database, "0004")
    with database.engine.begin() as connection:
        _fill(connection)
    yield database
    database.close()


def _fill(connection: sa.Connection) -> None:
    tables = sa.MetaData()
    tables.reflect(connection, only=["crms", "devices", "crm_devices", "messages", "inbox"])
    for crm_id in (ALL, ONE, OTHER, GONE):
        _insert(
            connection,
            tables.tables["crms"],
            id=crm_id,
            name=crm_id[-3:],
            key_hash=f"hash of {crm_id}",
            uses_all_devices=crm_id == ALL,
            strict_numbers=False,
            enabled=True,
            removed_at=NOW if crm_id == GONE else None,
        )
    for device_id, (protocol, crm_ids) in DEVICES.items():
        _insert(
            connection,
            tables.tables["devices"],
            id=device_id,
            secret_hash=ids.hash_secret(f"gw_live_{device_id}"),
            enabled=True,
            is_online=False,
            protocol=protocol,
            revision=0,
            unknown_report_count=0,
        )
        for crm_id in crm_ids:
            table = tables.tables["crm_devices"]
            connection.execute(table.insert().values(crm_id=crm_id, device_id=device_id))
    for number, (direction, status, device_id, crm_id) in enumerate(MESSAGES):
        _insert_message(connection, tables, number, direction, status, device_id, crm_id)


def _insert_message(connection, tables, number, direction, status, device_id, crm_id) -> None:
    is_outbound = direction == "outbound"
    _insert(
        connection,
        tables.tables["messages"],
        id=f"msg_{number:032x}",
        direction=direction,
        status=status,
        device_id=device_id,
        crm_id=crm_id if is_outbound else None,
        lane=f"d:{device_id}" if is_outbound else None,
        to_number="+12025550123",
        content="hi",
        encoding="gsm7",
        segments=1,
        priority=4,
        due_at=NOW if is_outbound else None,
        expires_at=NOW.replace(year=2030) if is_outbound else None,
        updated_at=NOW,
    )
    if not is_outbound:
        inbox = tables.tables["inbox"]
        connection.execute(inbox.insert().values(crm_id=crm_id, message_id=f"msg_{number:032x}"))


def _insert(connection: sa.Connection, table: sa.Table, **values: object) -> None:
    connection.execute(table.insert().values(created_at=NOW, **values))


def test_a_device_that_only_the_crm_routed_to_it_used_becomes_its_own(old: Database):
    migrations.upgrade(old)
    with old.reading() as session:
        owners = {row.id: row.owner_crm_id for row in session.scalars(sa.select(Device))}
    assert {name for name, owner in owners.items() if owner == ONE} == {
        "by-crm",
        "by-crm-with-queue",
    }
    assert {owner for owner in owners.values() if owner != ONE} == {None}


def test_nobody_who_works_is_cut_off(old: Database):
    """Who could use a device and did, may use it; what is queued still goes out; all secrets and keys are good."""
    migrations.upgrade(old)
    with old.reading() as session:
        found = {one.id: one for one in crms.everyone(session)}
        usable = {crm_id: set(routing.device_ids_of(session, found[crm_id])) for crm_id in found}
        assert all(one.approved and one.enabled for one in found.values())
        assert ownership.waiting(session) == []
    for _, _, device_id, crm_id in MESSAGES:
        assert device_id in usable[crm_id]
    assert usable[ONE] == {name for name, (_, crm_ids) in DEVICES.items() if ONE in crm_ids}
    assert usable[ALL] == DEVICES.keys() - {"by-crm", "by-crm-with-queue"}
    for name in DEVICES:
        login = logins.find_by_key(old, f"gw_live_{name}", NOW)
        assert login is not None
        assert (bool(login.enabled), bool(login.approved)) == (True, True)
        has_queue = any(message[1:3] == ("queued", name) for message in MESSAGES)
        assert bool(login.may_have_work) == has_queue


def test_the_log_tells_how_many_of_each_kind_there_were(old: Database, caplog):
    with caplog.at_level(logging.INFO, "smsgw.migrations"):
        migrations.upgrade(old)
    lines = [record.getMessage() for record in caplog.records if record.name == "smsgw.migrations"]
    assert lines[0].startswith("2 devices belong to the CRM")
    assert lines[1].startswith("5 devices are routed to one CRM and used by others too, or may be")
    assert "by-crm-others-queued, by-crm-others-received, by-crm-others-sent" in lines[1]
    assert "by-crm-with-another-app" in lines[1], "it looks like the next one"
    assert "added-for-one" in lines[1]
    assert lines[2].startswith("10 devices belong to the operators")


def test_a_step_back_leaves_nobody_in_who_was_kept_out(old: Database):
    migrations.upgrade(old, "0008")
    with old.transaction() as session:
        session.execute(sa.update(Device).where(Device.id == "anonymous").values(approved=False))
        session.execute(sa.update(Crm).where(Crm.id == OTHER).values(approved=False))
    with old.engine.connect() as connection:
        if old.is_sqlite:
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=off")
        with connection.begin(), Operations.context(MigrationContext.configure(connection)):
            importlib.import_module(MIGRATION).downgrade()
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")
        rows = connection.exec_driver_sql("SELECT id FROM devices WHERE NOT enabled").scalars()
        assert set(rows) == {"anonymous", "by-crm", "by-crm-with-queue"}
        crm = connection.exec_driver_sql("SELECT id FROM crms WHERE NOT enabled").scalars().all()
        assert crm == [OTHER]
        connection.invalidate()
    assert migrations.upgrade(old) == migrations.head()
