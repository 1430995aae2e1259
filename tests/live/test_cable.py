"""`/cable` over real sockets against the server as it is started: two web processes, one worker."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from smsgw import clock
from smsgw.core.accounts import crms, enrolment, ownership
from smsgw.store import migrations
from smsgw.store.db import Database

from ..running import Server, serving, until
from .conftest import IDENTIFIER
from .ws import Refused, Socket, connect

RESTART = {"type": "disconnect", "reason": "server_restart", "reconnect": True}


class Place:
    """A running server with a gateway and a CRM, and their keys."""

    def __init__(self, server: Server, key: str, waiting_key: str, crm_key: str) -> None:
        self.server = server
        self.key = key
        self.waiting_key = waiting_key
        self.crm_key = crm_key

    def connect(self, **more: Any) -> Socket:
        return connect(self.server.port, f"/cable?api_key={self.key}", **more)

    def subscribed(self) -> Socket:
        """A socket that has subscribed."""
        client = self.connect()
        assert client.receive_but("ping") == {"type": "welcome"}
        client.send({"command": "subscribe", "identifier": IDENTIFIER})
        assert client.receive_but("ping")["type"] == "confirm_subscription"
        return client

    def send(self, text: str) -> None:
        headers = {"Authorization": f"Bearer {self.crm_key}"}
        body = {"to": "+12025550123", "message": text}
        assert self.server.request("POST", "/api/v1/sms/send", body, headers)[0] == 202


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("cable")
    with started(folder) as made:
        yield made


@contextmanager
def started(folder: Path) -> Iterator[Place]:
    """The server on a SQLite file in the folder."""
    url = f"sqlite:///{folder}/smsgw.db"
    database = Database(url)
    migrations.upgrade(database)
    with database.transaction() as session:
        _, key = enrolment.add_with_key(session, "gateway-1", None, None, clock.now())
        _, waiting_key = ownership.add_waiting(session, "gateway-2", None, None, clock.now())
        _, crm_key = crms.add(session, "clinic", None, clock.now())
    database.close()
    with serving(folder, url) as server:
        yield Place(server, key, waiting_key, crm_key)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["actioncable-v1-json"], "actioncable-v1-json"),
        (["actioncable-v1-json", "actioncable-unsupported"], "actioncable-v1-json"),
        (["actioncable-v1-ext-json", "actioncable-v1-json"], "actioncable-v1-json"),
        (["chat"], None),
    ],
)
def test_the_subprotocol_is_chosen_where_it_is_offered(place, offered, chosen):
    with place.connect(subprotocols=offered) as client:
        assert client.headers.get("sec-websocket-protocol") == chosen
        assert client.receive() == {"type": "welcome"}


def test_no_compression_is_agreed_on(place):
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    with place.connect(headers=headers) as client:
        assert "sec-websocket-extensions" not in client.headers


def test_the_origin_does_not_matter(place):
    with place.connect(headers={"Origin": "https://elsewhere.example"}) as client:
        assert client.receive() == {"type": "welcome"}


def test_the_key_may_stand_in_the_header(place):
    headers = {"Authorization": f"Bearer {place.key}"}
    with connect(place.server.port, "/cable", headers=headers) as client:
        assert client.receive() == {"type": "welcome"}


@pytest.mark.parametrize(
    "headers", [{"Sec-WebSocket-Version": "8"}, {"Upgrade": ""}, {"Upgrade": "h2c"}]
)
def test_what_is_no_handshake_is_page_not_found(place, headers):
    with pytest.raises(Refused) as refused:
        place.connect(headers=headers)
    status, body = refused.value.args
    assert " 404 " in status
    assert body == "Page not found"


@pytest.mark.parametrize("query", ["", "?api_key=", "?api_key=gw_live_" + "0" * 64, "?api_key=x"])
def test_a_wrong_key_hears_so_and_is_let_go(place, query):
    with connect(place.server.port, f"/cable{query}") as client:
        assert client.receive() == {
            "type": "disconnect",
            "reason": "unauthorized",
            "reconnect": False,
        }
        assert client.receive() is None
        assert client.close_code == 1000


def test_a_device_that_waits_for_approval_is_told_to_come_back(place):
    """`reconnect: false` would stop its app for good."""
    with connect(place.server.port, f"/cable?api_key={place.waiting_key}") as client:
        assert client.receive() == {
            "type": "disconnect",
            "reason": "unauthorized",
            "reconnect": True,
        }
        assert client.receive() is None
        assert client.close_code == 1000


def test_pings_come_with_whole_seconds(place):
    with place.connect() as client:
        assert client.receive() == {"type": "welcome"}
        first, second = client.receive(), client.receive()
        assert first["type"] == second["type"] == "ping"
        assert 2 <= second["message"] - first["message"] <= 10
        assert isinstance(first["message"], int)


def test_the_welcome_comes_first_also_for_one_who_subscribes_at_once(place):
    with place.connect() as client:
        client.send({"command": "subscribe", "identifier": IDENTIFIER})
        assert client.receive() == {"type": "welcome"}
        assert client.receive_but("ping")["type"] == "confirm_subscription"


def test_refused_sockets_never_stall_http(place):
    strangers = [connect(place.server.port, "/cable") for _ in range(40)]
    # Each would hold the accepting thread for two seconds; a request has 30 seconds in all.
    assert place.server.request("GET", "/healthz")[0] == 200
    for stranger in strangers:
        stranger.raw.close()


def test_of_many_sockets_over_both_processes_the_newest_alone_gets_messages(place):
    clients = [place.subscribed() for _ in range(8)]
    place.send("only once")
    frame = clients[-1].receive_but("ping")
    assert frame["message"]["payload"]["message_body"] == "only once"
    for old in clients[:-1]:
        assert old.receive_but("ping") == {
            "type": "disconnect",
            "reason": "remote",
            "reconnect": False,
        }
    clients[-1].close()
    assert clients[-1].receive_but("ping") is None


def test_no_key_is_ever_logged(place):
    with place.subscribed() as client:
        client.close()
        assert client.receive_but("ping") is None
    assert "/cable" in place.server.log
    assert place.key not in place.server.log
    assert "api_key" not in place.server.log


def test_a_reset_right_after_the_handshake_hurts_nobody(place):
    for _ in range(20):
        client = place.connect()
        client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.raw.close()
    with place.subscribed() as client:
        place.send("all is well")
        assert client.receive_but("ping")["message"]["payload"]["message_body"] == "all is well"
    assert "Traceback" not in place.server.log


def test_the_server_ends_quickly_with_many_sockets_and_sends_them_away(tmp_path):
    with started(tmp_path) as made:
        clients = [made.connect() for _ in range(200)]
        for client in clients:
            assert client.receive_but("ping") == {"type": "welcome"}
        until(lambda: made.server.log.count(" 101 ") >= 200, "all to be open")
        assert made.server.stop() == 0
        assert "SIGKILL" not in made.server.log
        for client in clients:
            assert client.receive_but("ping") == RESTART
            assert client.receive() is None
            assert client.close_code is None
