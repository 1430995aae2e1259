"""The line each request leaves in the log."""

import json
import logging
import sys
from pathlib import Path

import pytest

from tests.conftest import World
from tests.running import serving


def _lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "smsgw.access"]


def test_a_line_names_who_called_the_path_and_the_status_but_no_query(
    world: World, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    world.client.get("/api/sms?api_key=hidden", headers=world.as_device())
    (line,) = _lines(caplog)
    assert line.getMessage() == "GET /api/sms 200"
    assert line.fields["device_id"] == "phone-1"
    assert line.fields["ms"] >= 0


def test_a_refused_call_names_nobody(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world.client.get("/api/sms", headers=world.as_device(password="wrong"))
    (line,) = _lines(caplog)
    assert line.getMessage() == "GET /api/sms 401"
    assert line.fields["device_id"] is None
    (refusal,) = [one for one in caplog.records if one.name == "smsgw.logins"]
    assert refusal.getMessage() == "login refused"
    assert refusal.fields["device_id"] == "phone-1"


def test_a_callers_request_id_goes_into_the_log_and_back(world: World):
    answer = world.client.get("/healthz", headers={"X-Request-ID": "from-proxy.1"})
    assert answer.headers["X-Request-ID"] == "from-proxy.1"


@pytest.mark.parametrize("wanted", ["", "a b", "x" * 65, "é"])
def test_an_odd_request_id_is_replaced(world: World, wanted: str):
    answer = world.client.get("/healthz", headers={"X-Request-ID": wanted})
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_number_or_content_is_in_a_whole_servers_log(tmp_path: Path, log_format: str):
    with serving(
        tmp_path,
        f"sqlite:///{tmp_path}/smsgw.db",
        [
            "sh",
            "-c",
            f"{sys.executable} -m smsgw init --json >$OUT && exec {sys.executable} app.py",
        ],
        OUT=str(tmp_path / "made.json"),
        SMSGW_LOG_LEVEL="DEBUG",
        SMSGW_LOG_FORMAT=log_format,
    ) as server:
        made = json.loads((tmp_path / "made.json").read_text())
        key, password = made["crm"]["api_key"], made["device"]["password"]
        crm = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        body = {"to": "+12025550123", "content": "rosebud"}
        server.request("POST", f"/api/v1/messages?key={key}&to=12025550123", body, crm)
        server.request("GET", "/api/v1/messages/+12025550123", None, crm)
        server.request("GET", f"/api/sms?p={password}", None, {"X-API-Key": password})
        assert server.request("GET", "/nothing")[0] == 404
    for secret in (key, password, made["operator"]["key"], "2025550123", "rosebud", "k" * 64):
        assert secret not in server.log
    assert "/nothing" in server.log
