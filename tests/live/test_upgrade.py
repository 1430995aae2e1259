"""Which requests for a WebSocket are let through to the hub."""

import socket
from contextlib import suppress
from unittest.mock import Mock

import pytest

from smsgw.live import upgrade
from smsgw.live.hub import Hub

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("path", ["/cable?api_key={device}", "/ws?apiKey={crm}"])
def test_sockets_leave_descriptors_for_requests(cable, monkeypatch, path):
    monkeypatch.setattr(upgrade.resource, "getrlimit", lambda _: (1000, 1000))
    monkeypatch.setattr(Hub, "count", 750)
    with socket.socket() as theirs:
        answer = cable.world.client.get(
            path.format(device=cable.key, crm=cable.world.crm_key),
            headers=HANDSHAKE,
            environ_overrides={"gunicorn.socket": theirs},
        )
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_a_client_that_does_not_read_cannot_hold_the_thread_that_opens_its_socket():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        fill(ours)
        hub = Mock()
        answer = upgrade.Upgraded(hub, Mock(), {})
        with pytest.raises(StopIteration):
            answer({"gunicorn.socket": ours}, None)
        hub.adopt.assert_not_called()


def fill(sock: socket.socket) -> None:
    """Leave no room for another byte."""
    for size in (1000, 1):
        with suppress(BlockingIOError):
            while True:
                sock.send(b"x" * size)


def test_a_socket_opens_on_a_local_path_too():
    ours, theirs = socket.socketpair()
    with theirs:
        hub = Mock()
        with pytest.raises(StopIteration):
            upgrade.Upgraded(hub, Mock(), {})({"gunicorn.socket": ours}, None)
        assert theirs.recv(12) == b"HTTP/1.1 101"
        hub.adopt.call_args[0][0].close()
