"""The event feed on PostgreSQL: nothing is ever skipped, and only open transactions of its own database hold it up."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.events import feed as event_feed
from smsgw.core.events import recording
from smsgw.core.operations import doctor
from smsgw.core.operations.finding import Finding
from smsgw.settings import Settings
from smsgw.store.db import Database

from ..conftest import NOW, new_database


class Feed:
    """A CRM's feed, and a reader who goes on where it was."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            self.crm_id = crms.add(session, "clinic", None, NOW)[0].id
        self._after: str | None = None

    def record(self, session: sa.orm.Session) -> str:
        new_event = recording.NewEvent("message.received", self.crm_id, {})
        return recording.record(session, [new_event], clock.now())[0]

    def add(self) -> str:
        with self.database.transaction() as session:
            return self.record(session)

    def last_shown(self) -> str | None:
        with self.database.reading() as session:
            return event_feed.last_shown(session, self.crm_id)

    def read(self, database: Database | None = None) -> list[str]:
        with (database or self.database).reading() as session:
            found = [event.id for event in event_feed.page(session, self.crm_id, self._after, 1000)]
        self._after = found[-1] if found else self._after
        return found


@pytest.fixture
def feed(database: Database) -> Feed:
    if database.is_sqlite:
        pytest.skip("SQLite writes one transaction after another")
    return Feed(database)


@contextmanager
def left_open(url: str, user: str | None = None) -> Iterator[sa.Connection]:
    """A transaction that has a number and does not end."""
    made = sa.make_url(url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(made.set(username=user) if user else made)
    with engine.connect() as connection:
        connection.execute(sa.text("select pg_current_xact_id()"))
        yield connection
    engine.dispose()


@contextmanager
def role(feed: Feed) -> Iterator[str]:
    """A role that owns nothing and may read everything."""
    name = f"r{uuid.uuid4().hex}"
    engine = feed.database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
        connection.exec_driver_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        yield name
        connection.exec_driver_sql(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_an_open_transaction_of_another_database_holds_nothing_up(
    feed: Feed, postgresql_server: str
):
    with new_database(postgresql_server) as other, left_open(other):
        wanted = [feed.add(), feed.add()]
        assert feed.read() == wanted


def test_nor_does_a_prepared_one_of_another_database(feed: Feed, postgresql_server: str):
    gid = uuid.uuid4().hex
    with new_database(postgresql_server) as other, left_open(other) as connection:
        connection.exec_driver_sql(f"PREPARE TRANSACTION '{gid}'")
        wanted = [feed.add(), feed.add()]
        assert feed.read() == wanted
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
            f"ROLLBACK PREPARED '{gid}'"
        )


def test_a_role_without_rights_sees_the_same(feed: Feed, postgresql_server: str):
    with role(feed) as name, new_database(postgresql_server) as other, left_open(other):
        url = feed.database.url.set(username=name).render_as_string(hide_password=False)
        low = Database(url)
        wanted = [feed.add(), feed.add()]
        assert feed.read(low) == wanted
        with feed.database.transaction() as slow:
            held = feed.record(slow)
            behind = feed.add()
            assert feed.read(low) == []
        assert feed.read(low) == [held, behind]
        low.close()


def test_a_writer_of_this_database_holds_up_what_comes_after_it_and_no_more(feed: Feed):
    before = feed.add()
    with feed.database.transaction() as slow:
        held = feed.record(slow)
        behind = [feed.add(), feed.add()]
        assert (feed.last_shown(), feed.read()) == (before, [before])
    assert (feed.last_shown(), feed.read()) == (behind[-1], [held, *behind])


def test_one_that_was_rolled_back_holds_nothing_up(feed: Feed):
    with feed.database.transaction() as slow:
        feed.record(slow)
        behind = feed.add()
        assert feed.read() == []
        slow.rollback()
    assert feed.read() == [behind]


def test_what_a_subtransaction_recorded_waits_for_the_whole(feed: Feed):
    with feed.database.transaction() as slow:
        with slow.begin_nested():
            held = feed.record(slow)
        behind = feed.add()
        assert feed.read() == []
    assert feed.read() == [held, behind]


def test_a_prepared_transaction_of_this_database_holds_the_feed_up(feed: Feed):
    gid = uuid.uuid4().hex
    url = feed.database.url.render_as_string(hide_password=False)
    with left_open(url) as connection:
        session = sa.orm.Session(connection)
        held = feed.record(session)
        connection.exec_driver_sql(f"PREPARE TRANSACTION '{gid}'")
        behind = feed.add()
        assert feed.read() == []
        session.close()
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
            f"COMMIT PREPARED '{gid}'"
        )
    assert feed.read() == [held, behind]


def test_a_long_reader_holds_nothing_up(feed: Feed):
    with feed.database.engine.execution_options(
        isolation_level="REPEATABLE READ"
    ).connect() as reader:
        reader.execute(sa.text("select * from events")).all()
        wanted = [feed.add(), feed.add()]
        assert feed.read() == wanted


def test_a_reader_beside_many_writers_skips_nothing(feed: Feed, postgresql_server: str):
    """Writers that have their number long before they record, that record late and that give up."""
    written: list[str] = []

    def write(number: int) -> None:
        for step in range(15):
            with feed.database.transaction() as session:
                session.execute(sa.text("select pg_current_xact_id()"))
                time.sleep(0.001 * ((number + step) % 5))
                event_id = feed.record(session)
                time.sleep(0.001 * ((number * step) % 4))
                if step % 5 == 4:
                    session.rollback()
                else:
                    written.append(event_id)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    seen: list[str] = []
    with new_database(postgresql_server) as other, left_open(other):
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen += feed.read()
        seen += feed.read()
    assert len(seen) == len(set(seen)) == 8 * 12
    assert set(seen) == set(written)


def _named(database: Database, settings: Settings, later: timedelta) -> list[Finding]:
    found = doctor.examine(database, settings, clock.now() + later)
    return [one for one in found if one.check == "open transaction"]


def test_doctor_names_a_transaction_that_is_older_than_a_minute(feed: Feed, settings: Settings):
    with left_open(settings.database_url) as connection:
        pid = connection.exec_driver_sql("select pg_backend_pid()").scalar()
        assert _named(feed.database, settings, timedelta(seconds=50)) == []
        (found,) = _named(feed.database, settings, timedelta(seconds=150))
        assert found.state == "wrong"
        assert found.text.startswith(f"pid {pid} has been writing to this database for 2 minutes")
        assert found.advice.endswith(f"SELECT pg_terminate_backend({pid})")
    assert _named(feed.database, settings, timedelta(seconds=150)) == []


def test_doctor_names_one_of_another_role_as_soon_as_an_event_waits_for_a_minute(
    feed: Feed, settings: Settings
):
    url = settings.database_url
    with role(feed) as name, left_open(url):
        low = Database(sa.make_url(url).set(username=name).render_as_string(hide_password=False))
        assert _named(low, settings, timedelta(seconds=150)) == []
        feed.add()
        assert _named(low, settings, timedelta(seconds=50)) == []
        assert len(_named(low, settings, timedelta(seconds=150))) == 1
        low.close()
