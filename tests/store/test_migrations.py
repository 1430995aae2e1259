"""Migrations: the same tables everywhere, safe when several start at once, and never a row lost."""

import multiprocessing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from smsgw.sms import text_hashes
from smsgw.store import migrations
from smsgw.store.db import Database
from smsgw.store.migrations import alembic_runs
from smsgw.store.tables import Table


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/new.db"
    return request.getfixturevalue("new_postgresql_url")


def upgrade(url, barrier):
    database = Database(url)
    barrier.wait()
    migrations.upgrade(database)
    database.close()


def test_several_processes_may_upgrade_a_new_database_at_once(new_url):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    starters = [context.Process(target=upgrade, args=(new_url, barrier)) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(60)
    assert [starter.exitcode for starter in starters] == [0, 0, 0, 0]
    database = Database(new_url)
    assert migrations.current(database) == migrations.head()
    database.close()


def test_the_tables_are_those_of_the_models(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_the_indexes_are_of_the_rows_that_the_models_say(database):
    kind = database.engine.dialect.name
    said, found = {}, {}
    for table in Table.metadata.sorted_tables:
        said |= {index.name: index.info.get("where") for index in table.indexes}
        for index in sa.inspect(database.engine).get_indexes(table.name):
            condition = index.get("dialect_options", {}).get(f"{kind}_where")
            found[index["name"]] = None if condition is None else str(condition)
    if kind == "postgresql":  # which writes conditions its own way
        said, found = ({name: bool(it) for name, it in every.items()} for every in (said, found))
    assert {name: found[name] for name in said} == said


def test_an_upgrade_of_an_upgraded_database_does_nothing(database):
    before = migrations.current(database)
    assert migrations.upgrade(database) == before == migrations.head()


def test_tables_of_a_newer_version_are_refused(new_url):
    database = Database(new_url)
    migrations.upgrade(database, "0001")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(migrations.NewerTables, match="revision 9999, this version needs"):
        migrations.upgrade(database)
    database.close()


def test_a_new_database_has_no_revision(new_url):
    database = Database(new_url)
    database.create()
    assert migrations.current(database) is None
    database.close()


def test_a_rebuilt_table_on_sqlite_keeps_the_rows_of_its_children(tmp_path, monkeypatch):
    """A batch migration drops and re-creates the table; with foreign keys on, its children would go with it."""
    database = Database(f"sqlite:///{tmp_path}/cascade.db")
    database.create()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("create table parent (id integer primary key, name text)")
        connection.exec_driver_sql(
            "create table child (id integer primary key,"
            " parent_id integer references parent(id) on delete cascade)"
        )
        connection.exec_driver_sql("insert into parent values (1, 'a')")
        connection.exec_driver_sql("insert into child values (1, 1), (2, 1)")

    def rebuild(connection, _revision):
        with Operations(MigrationContext.configure(connection)).batch_alter_table(
            "parent", recreate="always"
        ) as batch:
            batch.add_column(sa.Column("age", sa.Integer))

    monkeypatch.setattr(alembic_runs, "_run", rebuild)
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from child").scalar() == 2
    database.close()


def test_a_migration_that_breaks_references_on_sqlite_is_rolled_back(tmp_path, monkeypatch):
    database = Database(f"sqlite:///{tmp_path}/broken.db")
    migrations.upgrade(database, "0001")

    def break_it(connection, _revision):
        connection.exec_driver_sql(
            "insert into crm_devices (crm_id, device_id) values ('nobody', 'nothing')"
        )

    monkeypatch.setattr(alembic_runs, "_run", break_it)
    with pytest.raises(migrations.BrokenReferences):
        migrations.upgrade(database)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from crm_devices").scalar() == 0
    database.close()


def test_the_newest_revision_is_the_one_that_alembic_finds():
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert migrations.head() == scripts.get_current_head()


def test_what_was_there_before_sockets_is_of_the_stock_app(new_url):
    database = Database(new_url)
    migrations.upgrade(database, "0001")
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into devices (id, secret_hash, enabled, is_online, revision,"
            " unknown_report_count, created_at) values"
            " ('p', 'h', true, false, 0, 0, '2026-01-01 00:00:00')"
        )
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        row = connection.exec_driver_sql("select protocol, socket_id from devices").one()
    assert tuple(row) == ("cht", None)
    database.close()


def test_what_is_queued_when_opt_outs_come_is_found_by_its_number(new_url):
    database = Database(new_url)
    migrations.upgrade(database, "0009")
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into crms (id, name, key_hash, uses_all_devices, strict_numbers, enabled, created_at)"
            " values ('crm_1', 'clinic', 'h', true, false, true, '2026-01-01 00:00:00')"
        )
        for message_id, status in (("msg_1", "queued"), ("msg_2", "sent")):
            connection.exec_driver_sql(
                "insert into messages (id, direction, status, crm_id, lane, to_number, content, encoding,"
                " segments, priority, created_at, updated_at) values"
                f" ('{message_id}', 'outbound', '{status}', 'crm_1', 'c:crm_1', '+12025550123', 'hello',"
                " 'gsm7', 1, 4, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            )
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("select id, text_hash from messages order by id").all()
    expected = text_hashes.of_text("crm_1", "+12025550123", "hello")
    assert [tuple(row) for row in rows] == [("msg_1", expected), ("msg_2", None)]
    database.close()
