"""The database: no lost updates, what is committed is on disk, and queries that go by index."""

import re
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
import sqlalchemy as sa

from smsgw.core import crms, devices, handout, locking, logins, outbound
from smsgw.core.drafts import Draft
from smsgw.core.journal import writing
from smsgw.store.db import Database, insert, insert_new
from smsgw.store.models import Device, Dispatch, Message, Operator
from smsgw.store.write_lock import WriteLock

from ..conftest import NOW
from ..noting import noted


def test_no_update_is_lost_when_many_write_at_once(database):
    with database.transaction() as session:
        devices.add_with_password(session, "phone-1", None, None, NOW)

    def count_up():
        for _ in range(25):
            with database.transaction() as session:
                locking.lock(session, "phone-1")

    threads = [threading.Thread(target=count_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.get_one(Device, "phone-1").revision == 200


def test_a_process_that_hangs_with_the_write_lock_is_not_waited_for_for_ever(tmp_path):
    path = str(tmp_path / "smsgw.db")
    hanging, other = WriteLock(path), WriteLock(path)
    hanging.acquire(time.monotonic() + 60)
    other.acquire(time.monotonic() + 0.2)
    other.acquire(time.monotonic() + 0.2)
    hanging.close()
    other.close()


def test_a_failed_transaction_leaves_nothing(database):
    def fail():
        with database.transaction() as session:
            devices.add_with_password(session, "phone-1", None, None, NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.reading() as session:
        assert devices.everyone(session) == []


def test_moments_come_back_as_aware_utc(database):
    east = datetime(2026, 3, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.transaction() as session:
        session.add(Operator(name="ann", key_hash="x", created_at=east))
    with database.reading() as session:
        moment = session.get_one(Operator, "ann").created_at
    assert (moment, moment.tzinfo) == (east, UTC)


def test_a_new_sqlite_file_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "folder" / "new.db"
    opened = Database(f"sqlite:///{path}")
    with opened.transaction() as session:
        session.execute(sa.text("create table t (x)"))
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    opened.close()


def test_the_connection_that_was_used_last_is_used_next(database):
    with database.reading() as one, database.reading() as two:
        used = [_driver(one), _driver(two)]
    for _ in range(3):
        with database.reading() as session:
            assert _driver(session) is used[0]


def _driver(session):
    return session.connection().connection.dbapi_connection


def test_readers_do_not_wait_for_a_writer(database):
    with database.transaction() as session:
        devices.add_with_password(session, "phone-1", None, None, NOW)
        with database.reading() as reader:
            assert devices.everyone(reader) == []


def test_only_new_rows_go_in(database):
    def row(name):
        return {"name": name, "key_hash": name, "created_at": NOW}

    with database.transaction() as session:
        insert_new(session, Operator, [row("a")], Operator.name, ["name"])
        made = insert_new(session, Operator, [row("a"), row("b")], Operator.name, ["name"])
    assert made == ["b"]


def _fill(world, count, **draft):
    with world.database.transaction() as session:
        crm = crms.get(session, world.crm_id)
        for _ in range(count // 1000):
            wanted = Draft(to="+12025550123", content="hello", **draft)
            outbound.queue(session, crm, world.settings, [wanted] * 1000, NOW)


def _dispatches(message_ids):
    """One for each message, from which a resend took over."""
    names = ("status_at", "handed_out_at", "last_handed_out_at", "lease_until", "superseded_at")
    moments = dict.fromkeys(names, NOW - timedelta(hours=1))
    return [
        {
            "id": message_id,
            "message_id": message_id,
            "device_id": "phone-1",
            "status": "failed",
            "segments": 1,
            "hand_out_count": 1,
            **moments,
        }
        for message_id in message_ids
    ]


def test_the_look_of_an_idle_poll_goes_by_index_only(world):
    """With a long queue that is not due, so that a scan would be seen in the plan."""
    _fill(world, 3000, priority=9, send_at=NOW + timedelta(days=7))
    with world.database.transaction() as session:
        session.execute(sa.text("ANALYZE"))
    assert not logins.find(world.database, "phone-1", NOW).may_have_work
    assert not handout.has_work(world.database, "phone-1", world.settings, NOW)
    look = world.database._looks.spell(logins._BY_ID)
    bound = look.bind({"device_id": "phone-1", "now": NOW, "oldest": NOW})
    raw = world.database.engine.raw_connection()
    if world.database.is_sqlite:
        rows = raw.dbapi_connection.execute(f"EXPLAIN QUERY PLAN {look.text}", bound)
    else:
        cursor = psycopg.RawCursor(raw.dbapi_connection)
        written = [value.decode() for value in bound]
        rows = cursor.execute(f"EXPLAIN {look.text}", written)
    lines = [str(row) for row in rows]
    raw.close()
    assert lines
    assert not [line for line in lines if "SCAN messages" in line or "Seq Scan on messages" in line]
    assert not [line for line in lines if "SCAN dispatches" in line]


@pytest.mark.parametrize("cached", ["force_custom_plan", "force_generic_plan"])
def test_the_look_of_an_idle_poll_reads_little_also_while_statistics_are_old(world, cached):
    """PostgreSQL believes for a minute that a queue is as long as it was, and keeps plans made for that."""
    if world.database.is_sqlite:
        pytest.skip("SQLite goes by indexes whatever it knows of the tables")
    with world.database.transaction() as session:
        devices.add_with_password(session, "phone-2", None, None, NOW)
        session.execute(sa.text("ANALYZE"))
    _fill(world, 3000, device_id="phone-2")
    spelled = world.database._looks.spell(logins._BY_ID)
    bound = [
        value.decode()
        for value in spelled.bind({"device_id": "phone-1", "now": NOW, "oldest": NOW})
    ]
    look = world.database._looks._open()._pq
    look.exec_(f"SET plan_cache_mode = {cached}; PREPARE look AS {spelled.text}".encode())
    written = ", ".join(f"'{value}'" for value in bound)
    found = look.exec_(f"EXPLAIN (ANALYZE) EXECUTE look({written})".encode())
    plan = "\n".join(found.get_value(line, 0).decode() for line in range(found.ntuples))
    look.finish()
    read = [int(count) for count in re.findall(r"actual .*?rows=(\d+)", plan)]
    left_out = [int(count) for count in re.findall(r"Rows Removed by .*?: (\d+)", plan)]
    assert len(read) > 4
    assert max(read + left_out) < 10, plan


def test_a_look_is_planned_once_and_not_for_each_device(world):
    """With many rows PostgreSQL would else make a plan at each look, which takes six times as long as the look."""
    if world.database.is_sqlite:
        pytest.skip("SQLite plans a statement when it is compiled")
    for device_id in ("phone-1", "phone-2", "phone-3"):
        logins.find(world.database, device_id, NOW)
    look = world.database._looks._connections[-1]._pq
    found = look.exec_(b"SELECT custom_plans, generic_plans FROM pg_prepared_statements")
    assert (found.get_value(0, 0), found.get_value(0, 1)) == (b"0", b"3")


def test_the_next_messages_are_found_without_reading_the_whole_queue(world):
    _fill(world, 3000, priority=9, send_at=NOW + timedelta(days=7))
    _fill(world, 1000)
    with world.database.transaction() as session:
        insert(session, Dispatch, _dispatches(session.scalars(sa.select(Message.id))))
        session.execute(sa.text("ANALYZE"))
    plans = []
    with world.database.transaction() as session:
        device = locking.lock(session, "phone-1")
        with noted(world.database) as seen, writing(session, NOW) as journal:
            assert len(handout.hand_out_new(session, device, world.settings, journal)) == 10
        explain = "EXPLAIN QUERY PLAN " if world.database.is_sqlite else "EXPLAIN "
        for text, values in seen:
            if text.startswith("SELECT") and "UNION ALL" in text:
                found = session.connection().exec_driver_sql(explain + text, values)
                plans.extend(str(row) for row in found)
    assert any("ix_messages_queue_order" in line for line in plans)
    scans = ("SCAN messages", "SCAN dispatches", "Seq Scan on messages", "Seq Scan on dispatches")
    assert not [line for line in plans if any(scan in line for scan in scans)]
    assert not [line for line in plans if "TEMP B-TREE" in line or "Sort" in line]


def test_a_look_asks_again_where_the_server_has_ended_its_connection(world):
    assert logins.find(world.database, "phone-1", NOW)
    if not world.database.is_sqlite:
        with world.database.transaction() as session:
            session.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            )
    assert logins.find(world.database, "phone-1", NOW)
    assert logins.find(world.database, "nobody", NOW) is None


def test_a_connection_that_the_server_has_ended_is_made_anew(database):
    if database.is_sqlite:
        pytest.skip("a file ends no connections")
    with database.transaction() as session, database.transaction() as other:
        ended = [one.scalar(sa.text("select pg_backend_pid()")) for one in (session, other)]
    killer = Database(database.url.render_as_string(hide_password=False))
    with killer.transaction() as session:
        for pid in ended:
            session.execute(sa.text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    killer.close()
    with database.transaction() as session, database.transaction() as other:
        anew = [one.scalar(sa.text("select pg_backend_pid()")) for one in (session, other)]
    assert not set(ended) & set(anew)
