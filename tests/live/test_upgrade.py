"""Which requests for a WebSocket are let through to the hub."""

import socket

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
