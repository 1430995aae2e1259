"""`/ws` on a running server with two web processes: real sockets, real HTTP, a real worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.ws import Refused, Socket, connect
from tests.running import Server, serving

from .conftest import INCOMING, OUTGOING

OPERATOR = "op_live_" + "0" * 64


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sockets")
    path = folder / "smsgw.db"
    path.write_bytes(sqlite_template.read_bytes())
    with serving(folder, f"sqlite:///{path}", SMSGW_OPERATOR_KEY=OPERATOR) as started:
        yield started


def post(server: Server, path: str, body: Any, key: str) -> Any:
    status, _, answer = server.request("POST", path, body, {"Authorization": f"Bearer {key}"})
    assert status in (200, 201, 202), answer
    return json.loads(answer)


@pytest.fixture
def crm(server: Server, request: pytest.FixtureRequest) -> dict[str, Any]:
    return post(server, "/registerCRM", {"crmName": request.node.name[:100]}, OPERATOR)


def program(server: Server, crm: dict[str, Any], query: str = "") -> Socket:
    return connect(server.port, f"/ws?apiKey={crm['apiKey']}{query}")


def test_an_sms_each_way_between_a_device_and_a_crm(server: Server, crm: dict[str, Any]):
    token = post(server, "/registerDevice", {"deviceId": "67890"}, crm["apiKey"])["token"]
    with program(server, crm) as listener, connect(server.port, f"/ws?token={token}") as phone:
        connected = listener.receive()
        assert (connected["event"], connected["data"]["deviceId"]) == ("deviceConnected", "67890")
        incoming = {**INCOMING, "deviceId": "67890"}
        phone.send(incoming)
        assert phone.receive()["event"] == "ack"
        received = listener.receive()
        assert (received["event"], received["data"]) == ("messageReceived", incoming)
        listener.send({**OUTGOING, "deviceId": "67890", "apiKey": crm["apiKey"]})
        queued = listener.receive()
        assert queued["data"]["status"] == "QUEUED"
        order = phone.receive()
        assert (order["event"], order["data"]["content"]) == ("sendMessage", "Reply to Hello!")
        phone.send({"messageId": order["data"]["messageId"], "status": "SENT"})
        assert phone.receive()["data"]["event"] == "messageStatus"
        sent = listener.receive()
        assert (sent["data"]["status"], sent["data"]["messageId"]) == (
            "SENT",
            queued["data"]["messageId"],
        )
    with program(server, crm, f"&after={received['eventId']}") as again:
        assert again.receive()["event"] == "deviceConnected"
        assert again.receive()["eventId"] == sent["eventId"]


def test_an_order_over_rest_reaches_the_device_in_whatever_process(
    server: Server, crm: dict[str, Any]
):
    token = post(server, "/registerDevice", {"deviceId": "111"}, crm["apiKey"])["token"]
    with connect(server.port, "/ws", headers={"Authorization": f"Bearer {token}"}) as phone:
        for content in ("one", "two", "three"):
            body = {**OUTGOING, "deviceId": "111", "apiKey": crm["apiKey"], "content": content}
            post(server, "/sendMessage", body, "")
        assert [phone.receive()["data"]["content"] for _ in range(3)] == ["one", "two", "three"]


def test_a_newer_socket_of_a_device_closes_the_older_one(server: Server, crm: dict[str, Any]):
    token = post(server, "/registerDevice", {"deviceId": "222"}, crm["apiKey"])["token"]
    with connect(server.port, f"/ws?token={token}") as old:
        old.send({})
        assert old.receive()["event"] == "error"  # so it is this device's socket by now
        with connect(server.port, f"/ws?token={token}"):
            assert old.receive() is None
            assert old.close_code == 4002


def test_a_new_token_closes_the_socket_of_the_old_one(server: Server, crm: dict[str, Any]):
    token = post(server, "/registerDevice", {"deviceId": "333"}, crm["apiKey"])["token"]
    with connect(server.port, f"/ws?token={token}") as phone:
        post(server, "/registerDevice", {"deviceId": "333"}, crm["apiKey"])
        assert phone.receive() is None
        assert phone.close_code == 4001


def test_a_frame_above_64_kib_closes_the_socket(server: Server, crm: dict[str, Any]):
    with program(server, crm) as listener:
        listener.send("x" * (64 * 1024 + 1))
        assert listener.receive() is None
        assert listener.close_code == 4009


def test_the_subprotocol_is_selected_when_it_is_offered(server: Server, crm: dict[str, Any]):
    path = f"/ws?apiKey={crm['apiKey']}"
    with connect(server.port, path, ["other", "sms-gateway-v1-json"]) as listener:
        assert listener.headers["sec-websocket-protocol"] == "sms-gateway-v1-json"
    with connect(server.port, path) as listener:
        assert "sec-websocket-protocol" not in listener.headers


def test_a_wrong_key_is_refused_with_401(server: Server):
    with pytest.raises(Refused, match="401"):
        connect(server.port, "/ws?token=gw_live_wrong")


def test_no_key_is_in_the_log(server: Server, crm: dict[str, Any]):
    with program(server, crm):
        assert server.request("GET", "/healthz")[0] == 200
    assert crm["apiKey"] not in server.log
