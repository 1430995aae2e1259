"""One web process as the supervisor starts it, with clients that speak bytes."""

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smsgw import ids
from smsgw.core.accounts import crms, enrolment
from smsgw.server import supervisor as server_module
from smsgw.store import migrations
from smsgw.store.db import Database
from tests.conftest import NOW
from tests.running import ROOT, Server, environment, until

THREADS = 2
PASSWORD = "pässwörd"
CRM = "clinic"


@dataclass
class Web(Server):
    """A web process, and the key of its CRM."""

    crm_key: str = ""

    @property
    def as_crm(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.crm_key}"}

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, *sent: bytes) -> list["Answer"]:
        """Sends all of it, and reads answers until the server closes."""
        with self.connect() as sock:
            for part in sent:
                sock.sendall(part)
            return list(answers(sock))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def answers(sock: socket.socket) -> Iterator[Answer]:
    """The answers that come, until the server closes."""
    with closing(sock.makefile("rb")) as file:
        while line := file.readline():
            lines = iter(file.readline, b"\r\n")
            headers = dict(line.decode().strip().lower().split(": ", 1) for line in lines)
            body = file.read(int(headers.get("content-length", 0)))
            yield Answer(int(line.split()[1]), headers, body)


@contextmanager
def serving_web(home: Path, times: str = "", before: str = "pass") -> Iterator[Web]:
    """One process with two threads; `times` are arguments of `connection_pool.Times`, `before` is run first."""
    url = f"sqlite:///{home}/smsgw.db"
    database = Database(url)
    migrations.upgrade(database)
    with database.transaction() as session:
        device, _ = enrolment.add_with_password(session, "phone-1", None, None, NOW)
        device.secret_hash = ids.hash_secret(PASSWORD)
        crm, key = crms.add(session, CRM, None, NOW)
        crm.loop_guard = 0
    database.close()
    log_file = home / "web.log"
    program = (
        f"{before}; import sys; from smsgw import factory, settings;"
        "from smsgw.server import connection_pool, gunicorn_app;"
        f"connection_pool.TIMES = connection_pool.Times({times}); wanted = settings.load();"
        "gunicorn_app.serve(wanted, factory.build_app(wanted), int(sys.argv[1]))"
    )
    settings = {"SMSGW_WORKERS": "1", "SMSGW_THREADS": str(THREADS)}
    with server_module.listen("127.0.0.1", 0) as listener, log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            env=environment(HOME=str(home), SMSGW_DATABASE_URL=url, **settings),
            stdout=log,
            stderr=log,
        )
        running = Web(process, listener.getsockname()[1], log_file, key)
    try:
        until(lambda: "Booting worker" in running.log, "gunicorn to start")
        yield running
    finally:
        code = running.stop()
    assert code == 0
    assert "Traceback" not in running.log


def basic(password: bytes = PASSWORD.encode()) -> bytes:
    """The header of the phone."""
    return b"Basic " + base64.b64encode(b"phone-1:" + password)


def head(line: bytes, **headers: bytes | str) -> bytes:
    """A request's head: the method and path, and headers whose names have `_` for `-`."""
    lines = [line + b" HTTP/1.1", b"Host: x"]
    for name, value in headers.items():
        text = value.encode() if isinstance(value, str) else value
        lines.append(name.replace("_", "-").encode() + b": " + text)
    return b"\r\n".join([*lines, b"", b""])
