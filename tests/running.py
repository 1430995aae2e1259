"""Real server processes on free ports, for the tests that need one."""

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
from itertools import cycle
from pathlib import Path
from typing import Any

from smsgw.store import migrations
from smsgw.store.db import Database

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60.0

# Below those that systems give to connections and to port 0: between the choice of a port and its
# first listener may lie seconds. Each process begins elsewhere.
_LOWEST, _COUNT = 10_000, 6_000
_PORTS = cycle(_LOWEST + (os.getpid() * 1009 + step) % _COUNT for step in range(_COUNT))


@dataclass
class Server:
    """A running server: its process, port and the file its log goes to."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request over a connection of its own: status, headers in lower case, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = json.dumps(body).encode() if isinstance(body, dict | list) else body
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        result = answer.status, found, answer.read()
        connection.close()
        return result

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of ours, and with these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMSGW_")}
    return {**clean, "SMSGW_SECRET_KEY": "k" * 64, "SMSGW_ENV_FILE": "", **settings}


def free_port() -> int:
    """A port nobody listens on, and that no other caller is about to get."""
    return next(port for port in _PORTS if _is_free(port))


def until(condition: Any, what: str) -> Any:
    """The first true value of `condition()`; fails when there is none for a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited a minute for {what}")


def prepare(database_url: str) -> None:
    """Make SQLite's file and tables, as `db upgrade` does: a server makes none."""
    if database_url.startswith("sqlite:"):
        with closing(Database(database_url)) as database:
            migrations.upgrade(database)


@contextmanager
def serving(
    folder: Path, database_url: str, command: list[str] | None = None, **settings: str
) -> Iterator[Server]:
    """`python app.py` (or another command) on a free port, ready for requests; ended afterwards."""
    prepare(database_url)
    port = free_port()
    log_file = folder / "server.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command or [sys.executable, "app.py"],
            cwd=ROOT,
            env=environment(
                SMSGW_DATABASE_URL=database_url,
                SMSGW_HOST="127.0.0.1",
                SMSGW_PORT=str(port),
                **settings,
            ),
            stdout=log,
            stderr=log,
        )
    server = Server(process, port, log_file)
    try:
        until(lambda: _answers(server), f"the server to answer: {log_file}")
        yield server
    finally:
        if process.poll() is None:
            server.stop()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _answers(server: Server) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"the server ended: {server.log}")
    try:
        return server.request("GET", "/healthz")[0] == 200
    except OSError:
        return False
