"""A pooler before PostgreSQL: it is found out, no session is relied on, and nothing is left in its connections."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo.phone import PhoneInHand
from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.core.devices import logins, registry
from smsgw.store import migrations
from smsgw.store.change_listener import change_listener
from smsgw.store.db import Database
from smsgw.store.models import Event, Message

from .. import debian
from ..conftest import missing
from ..delivery.receiver import Receiver
from ..live.conftest import IDENTIFIER
from ..live.ws import connect
from ..pgbouncer import is_installed, pgbouncer
from ..running import ROOT, Server, environment, serving, until

POOL_SIZE = 2
SENDERS = 16
SENDS = 160
PHONES = 3
SETTINGS = {
    "SMSGW_SEGMENTS_PER_MINUTE": "100000",
    "SMSGW_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
}
# What a client could leave behind in a server connection.
STATE = sa.text(
    "SELECT pg_backend_pid(), current_setting('enable_seqscan'), current_setting('plan_cache_mode'),"
    " (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()),"
    " pg_sleep(0.2)"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Debian's PostgreSQL without a pooler."""
    if not (debian.is_installed() and is_installed()):
        missing("Debian's PostgreSQL and PgBouncer (postgresql-15, pgbouncer) are not installed")
    with debian.postgresql() as url:
        yield url


@pytest.fixture(scope="module")
def pooled(server: str) -> Iterator[str]:
    """Debian's PgBouncer in transaction pooling mode, with fewer connections than the server has threads."""
    with pgbouncer(server, "transaction", POOL_SIZE) as url:
        yield url


class Crm:
    """A CRM and what it asks the running server."""

    def __init__(self, running: Server, key: str) -> None:
        self._running, self._key = running, key

    def ask(self, path: str, body: Any, **headers: str) -> int:
        given = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        return self._running.request("POST", f"/api/v1/{path}", body, given | headers)[0]

    def send(self, number: int) -> int:
        """One of the ways a message is queued."""
        body: dict[str, Any] = {"to": "+12025550123", "content": f"text {number}"}
        if number % 4 == 1:
            return self.ask("messages", body | {"reference": f"r-{number}"})
        if number % 4 == 2:
            return self.ask("messages", body, **{"Idempotency-Key": f"k-{number}"})
        if number % 4 == 3:
            return self.ask("messages/batch", {"messages": [body]})
        return self.ask("messages", body)


def test_a_server_behind_a_pooler_serves_everybody_and_leaves_nothing_in_its_connections(
    pooled: str, tmp_path: Path
):
    database = Database(pooled)
    migrations.upgrade(database)
    with ExitStack() as stack:
        stack.callback(database.close)
        with database.transaction() as session:
            crm, crm_key = crms.add(session, "fleet", None, clock.now())
            crm_id = crm.id
            _, key = enrolment.add_with_key(session, "gateway-1", None, None, clock.now())
            logins_of = [
                f"p{n}:{enrolment.add_with_password(session, f'p{n}', None, None, clock.now())[1]}"
                for n in range(PHONES)
            ]
        running = stack.enter_context(serving(tmp_path, pooled, **SETTINGS))
        receiver = stack.enter_context(Receiver())
        client = stack.enter_context(connect(running.port, f"/cable?api_key={key}"))
        fleet = Crm(running, crm_key)
        assert fleet.ask("webhooks", {"url": receiver.url}) == 201
        assert client.receive_but("ping") == {"type": "welcome"}
        client.send({"command": "subscribe", "identifier": IDENTIFIER})
        assert client.receive_but("ping")["type"] == "confirm_subscription"
        with ThreadPoolExecutor(SENDERS) as pool, ExitStack() as hands:
            sending = [pool.submit(fleet.send, number) for number in range(SENDS)]
            for login in logins_of:
                url = f"http://{login}@127.0.0.1:{running.port}/api/sms"
                hand = hands.enter_context(PhoneInHand(url, timeout=30, speed=10))
                assert all(poll.ok for poll in hand.wake())
                hand.receive(f"in {login[:2]}", "+4915198765432")
            assert {one.result() for one in sending} == {202}
            until(lambda: all(poll.ok for poll in hand.wake()) and _is_empty(database), "phones")
        assert fleet.ask("messages", {"to": "+12025550123", "content": "to the socket"}) == 202
        assert client.receive_but("ping") is not None
        until(lambda: set(receiver.event_ids) >= _event_ids(database, crm_id), "all webhooks")
        assert len(receiver.event_ids) == len(set(receiver.event_ids))
        assert [row[1:5] for row in _states(database)] == [("on", "auto", 0, 0)] * POOL_SIZE
        assert "Traceback" not in running.log
        assert " 500 " not in running.log


def _is_empty(database: Database) -> bool:
    queued = sa.exists().where(Message.status == "queued")
    with database.reading() as session:
        return not session.scalar(sa.select(queued))


def _event_ids(database: Database, crm_id: str) -> set[str]:
    with database.reading() as session:
        return set(session.scalars(sa.select(Event.id).where(Event.crm_id == crm_id)))


def _states(database: Database) -> list[Any]:
    """What stands in each of the pooler's server connections: asked for at the same time, all are used."""

    def state(_: int) -> Any:
        with database.reading() as session:
            return session.execute(STATE).one()

    with ThreadPoolExecutor(2 * POOL_SIZE) as pool:
        found = {row[0]: row for row in pool.map(state, range(4 * POOL_SIZE))}
    return list(found.values())


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_processes_that_share_a_pooler_never_run_each_others_statements(server: str, mode: str):
    """Each has the same names for what it prepares, and runs more statements than there are connections."""
    migrations.upgrade(database := Database(server))
    database.close()
    with pgbouncer(server, mode, 60) as url, ExitStack() as stack:
        databases = [Database(url) for _ in range(3)]
        for one in databases:
            stack.callback(one.close)
        with databases[0].transaction() as session:
            names = [f"{mode}-{number}" for number in range(10)]
            for name in names:
                enrolment.add_with_password(session, name, None, None, clock.now())

        def ask(number: int) -> None:
            database, name = databases[number % 3], names[number % 10]
            login = logins.find(database, name, clock.now())
            assert login is not None
            assert login.device_id == name
            with database.transaction() as session:
                assert registry.get(session, name).id == name

        with ThreadPoolExecutor(9) as pool:
            list(pool.map(ask, range(300)))


def test_statement_pooling_is_refused_in_a_line_that_says_what_to_do(server: str, tmp_path: Path):
    with pgbouncer(server, "statement") as url:
        ended = subprocess.run(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environment(SMSGW_DATABASE_URL=url, SMSGW_PORT="0"),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: the database cannot be used:")
    assert "set pool_mode = transaction" in line


def test_behind_a_pooler_work_is_looked_for_by_the_clock(pooled: str, server: str):
    stop = threading.Event()
    for url, waits in ((pooled, True), (server, False)):
        database = Database(url)
        listener = change_listener(database, stop)
        assert listener.wait(30) is True
        assert listener.wait(2) is waits
        listener.close()
        database.close()
    stop.set()


def test_many_processes_may_upgrade_the_tables_through_a_pooler_at_once(pooled: str, server: str):
    def upgrade(_: int) -> str:
        database = Database(pooled)
        try:
            return migrations.upgrade(database)
        finally:
            database.close()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(upgrade, range(6))) == {migrations.head()}
