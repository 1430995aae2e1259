"""What gunicorn would get wrong by itself: slow clients, its control socket, forwarded addresses, odd requests."""

import base64
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smsgw import ids
from smsgw import server as server_module
from smsgw.core import devices
from smsgw.store import migrations
from smsgw.store.db import Database
from tests.conftest import NOW
from tests.running import ROOT, Server, environment, until

THREADS = 2
PASSWORD = "pässwörd"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def web(home: Path) -> Iterator[Server]:
    """One process with two threads, and a receive timeout of one second."""
    url = f"sqlite:///{home}/smsgw.db"
    database = Database(url)
    migrations.upgrade(database)
    with database.transaction() as session:
        device, _ = devices.add_with_password(session, "phone-1", None, None, NOW)
        device.secret_hash = ids.hash_secret(PASSWORD)
    database.close()
    log_file = home / "web.log"
    with (
        server_module.listen("127.0.0.1", 0, receive_seconds=1) as listener,
        log_file.open("wb") as log,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "smsgw.web", str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            env=environment(
                HOME=str(home),
                SMSGW_DATABASE_URL=url,
                SMSGW_WORKERS="1",
                SMSGW_THREADS=str(THREADS),
            ),
            stdout=log,
            stderr=log,
        )
        running = Server(process, listener.getsockname()[1], log_file)
    until(lambda: "Booting worker" in running.log, "gunicorn to start")
    yield running
    assert running.stop() == 0


HALF_A_HEADER = b"GET /healthz HTTP/1.1\r\nHost: "
HALF_A_BODY = b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


@pytest.mark.parametrize("sent", [HALF_A_HEADER, HALF_A_BODY])
def test_clients_that_stop_half_way_do_not_keep_the_threads(web: Server, sent: bytes):
    slow = [_connect(web) for _ in range(2 * THREADS)]
    for sock in slow:
        sock.sendall(sent)
    assert web.request("GET", "/healthz")[0] == 200
    for sock in slow:
        sock.close()


def test_half_a_body_of_a_phone_that_is_let_in_is_no_bug(web: Server):
    with _connect(web) as sock:
        sock.sendall(
            b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Authorization: " + _basic(PASSWORD.encode()) + b"\r\n\r\n{"
        )
        assert b" 400 " in sock.makefile("rb").readline()
    assert "Traceback" not in web.log


def test_a_connection_serves_several_requests(web: Server):
    with _connect(web) as sock:
        answers = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in answers.readline()
            headers = dict(
                line.decode().strip().lower().split(": ", 1)
                for line in iter(answers.readline, b"\r\n")
            )
            assert headers["connection"] == "keep-alive"
            answers.read(int(headers["content-length"]))


def test_there_is_no_control_socket(web: Server, home: Path):
    assert web.request("GET", "/healthz")[0] == 200
    assert not (home / ".gunicorn").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_password_counts_in_both_encodings(web: Server, encoding: str):
    header = {"Authorization": _basic(PASSWORD.encode(encoding)).decode()}
    assert web.request("GET", "/api/sms", headers=header)[0] == 200


def test_a_wrong_password_in_latin_1_is_401_and_no_bug(web: Server):
    header = {"Authorization": _basic("fälsch".encode("latin-1")).decode()}
    assert web.request("GET", "/api/sms", headers=header)[0] == 401


def test_a_chunked_body_is_411(web: Server):
    with _connect(web) as sock:
        sock.sendall(
            b"POST /api/sms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\n{}\r\n0\r\n\r\n"
        )
        assert b" 411 " in sock.makefile("rb").readline()


def test_an_unfinished_body_closes_the_connection_and_nothing_of_it_is_a_request(web: Server):
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with _connect(web) as sock:
        sock.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
            + smuggled
        )
        sock.shutdown(socket.SHUT_WR)
        with closing(sock.makefile("rb")) as answers:
            assert answers.read().count(b"HTTP/1.1 ") == 1


def _connect(web: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.port), timeout=30)


def _basic(password: bytes) -> bytes:
    return b"Basic " + base64.b64encode(b"phone-1:" + password)
