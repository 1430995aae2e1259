"""The database: no lost updates, what is committed is on disk, and queries that go by index."""

import itertools
import re
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import crms, enrolment
from smsgw.core.devices import locking, logins, registry
from smsgw.core.messages import handing_out, queueing
from smsgw.core.messages.drafts import Draft
from smsgw.core.messages.history import writing_history
from smsgw.store import reader
from smsgw.store.db import Database
from smsgw.store.inserts import InsertNew
from smsgw.store.models import Device, Dispatch, Message, Operator
from smsgw.store.queries import Query

from ..conftest import NOW
from ..noting import noted


class NewOperator(NamedTuple):
    name: str
    key_hash: str
    created_at: datetime


class Plans(NamedTuple):
    custom_plans: int
    generic_plans: int


PLANS = Query(
    Plans,
    sa.select(*(sa.column(name, sa.Integer) for name in Plans._fields))
    .select_from(sa.table("pg_prepared_statements"))
    .where(sa.column("statement").like("SELECT devices.id%")),
)
OPERATORS = InsertNew(Operator, NewOperator, conflict_on=[Operator.name], returning=Operator.name)


def test_no_update_is_lost_when_many_write_at_once(database):
    with database.transaction() as session:
        enrolment.add_with_password(session, "phone-1", None, None, NOW)

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


def test_a_failed_transaction_leaves_nothing(database):
    def fail():
        with database.transaction() as session:
            enrolment.add_with_password(session, "phone-1", None, None, NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.reading() as session:
        assert registry.everyone(session) == []


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
    opened.create()
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
        enrolment.add_with_password(session, "phone-1", None, None, NOW)
        with database.reading() as reader:
            assert registry.everyone(reader) == []


def test_only_new_rows_go_in(database):
    one, other = (NewOperator(name, name, NOW) for name in "ab")
    with database.transaction() as session:
        assert OPERATORS.new(session, [one]) == ["a"]
        assert OPERATORS.new(session, [one, other]) == ["b"]


def _fill(world, count, **draft):
    with world.database.transaction() as session:
        crm = crms.get(session, world.crm_id)
        for _ in range(count // 1000):
            wanted = Draft(to="+12025550123", content="hello", **draft)
            queueing.queue_all(session, crm, world.settings, [wanted] * 1000, NOW)


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


def test_the_login_of_an_idle_poll_goes_by_index_only(world):
    """With a long queue that is not due, so that a scan would be seen in the plan."""
    _fill(world, 3000, priority=9, send_at=NOW + timedelta(days=7))
    with world.database.transaction() as session:
        session.execute(sa.text("ANALYZE"))
    assert not logins.find(world.database, "phone-1", NOW).may_have_work
    values = {"device_id": "phone-1", "now": NOW, "oldest": NOW}
    login = logins._BY_ID.compiled(world.database.engine.dialect, values)
    explain = "EXPLAIN QUERY PLAN" if world.database.is_sqlite else "EXPLAIN"
    with world.database.reading() as session:
        rows = session.connection().exec_driver_sql(f"{explain} {login.text}", login.bind(values))
        lines = [str(row) for row in rows]
    assert lines
    assert not [line for line in lines if "SCAN messages" in line or "Seq Scan on messages" in line]
    assert not [line for line in lines if "SCAN dispatches" in line or "SCAN devices" in line]


@pytest.mark.parametrize("cached", ["force_custom_plan", "force_generic_plan"])
def test_the_login_of_an_idle_poll_reads_little_also_while_statistics_are_old(world, cached):
    """PostgreSQL believes for a minute that a queue is as long as it was, and keeps plans made for that."""
    if world.database.is_sqlite:
        pytest.skip("SQLite goes by indexes whatever it knows of the tables")
    with world.database.transaction() as session:
        enrolment.add_with_password(session, "phone-2", None, None, NOW)
        session.execute(sa.text("ANALYZE"))
    _fill(world, 3000, device_id="phone-2")
    values = {"device_id": "phone-1", "now": NOW, "oldest": NOW}
    login = logins._BY_ID.compiled(world.database.engine.dialect, values)
    places = itertools.count(1)
    text = re.sub("%s", lambda _: f"${next(places)}", login.text)
    written = ", ".join(f"'{value}'" for value in login.bind(values))
    with closing(world.database.engine.raw_connection()) as raw:
        raw.dbapi_connection.execute(reader._BY_INDEX)
        raw.dbapi_connection.execute(f"SET plan_cache_mode = {cached}; PREPARE login AS {text}")
        found = raw.dbapi_connection.execute(f"EXPLAIN (ANALYZE) EXECUTE login({written})")
        plan = "\n".join(line for (line,) in found)
        raw.invalidate()
    read = [int(count) for count in re.findall(r"actual .*?rows=(\d+)", plan)]
    left_out = [int(count) for count in re.findall(r"Rows Removed by .*?: (\d+)", plan)]
    assert len(read) > 4
    assert max(read + left_out) < 10, plan


def test_a_login_is_planned_once_and_not_for_each_device(world):
    """With many rows PostgreSQL would else make a plan each time, which takes six times as long as the query."""
    if world.database.is_sqlite:
        pytest.skip("SQLite plans a statement when it is compiled")
    for device_id in ("phone-1", "phone-2", "phone-3"):
        logins.find(world.database, device_id, NOW)
    assert PLANS.read(world.database) == (0, 3)


def test_the_next_messages_are_found_without_reading_the_whole_queue(world):
    _fill(world, 3000, priority=9, send_at=NOW + timedelta(days=7))
    _fill(world, 1000)
    with world.database.transaction() as session:
        session.execute(sa.insert(Dispatch), _dispatches(session.scalars(sa.select(Message.id))))
        session.execute(sa.text("ANALYZE"))
    plans = []
    with world.database.transaction() as session:
        device = locking.lock(session, "phone-1")
        with noted(world.database) as seen, writing_history(session, NOW) as history:
            assert len(handing_out.hand_out_new(session, device, world.settings, history)) == 10
        explain = "EXPLAIN QUERY PLAN " if world.database.is_sqlite else "EXPLAIN "
        for text, values in seen:
            if text.startswith("SELECT") and ("UNION ALL" in text or "LATERAL" in text):
                found = session.connection().exec_driver_sql(explain + text, values)
                plans.extend(str(row) for row in found)
    assert any("ix_messages_queue_order" in line for line in plans)
    scans = ("SCAN messages", "SCAN dispatches", "Seq Scan on messages", "Seq Scan on dispatches")
    assert not [line for line in plans if any(scan in line for scan in scans)]
    assert not [line for line in plans if "TEMP B-TREE" in line or "Sort" in line]


def test_a_read_is_made_again_where_the_server_has_ended_its_connection(world):
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
