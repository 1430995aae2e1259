"""The line each request leaves in the log."""

import logging

import pytest
from prometheus_client import REGISTRY

from tests.conftest import World


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


def test_an_idle_poll_is_counted_and_logged_at_debug_only(
    world: World, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    before = _idle_polls()
    answer = world.client.post("/api/sms", json={}, headers=world.as_device())
    (line,) = [one for one in _lines(caplog) if "/api/sms" in one.getMessage()]
    assert (line.levelname, line.getMessage()) == ("DEBUG", "POST /api/sms 200")
    assert len(answer.headers["X-Request-ID"]) == 32
    assert _idle_polls() == before + 1


@pytest.mark.parametrize("key", ["messages", "updates"])
def test_a_poll_that_brings_something_is_logged_and_not_counted_as_idle(
    world: World, caplog: pytest.LogCaptureFixture, key: str
):
    caplog.set_level(logging.INFO)
    before = _idle_polls()
    world.client.post("/api/sms", json={key: [{}]}, headers=world.as_device())
    (line,) = _lines(caplog)
    assert (line.levelname, line.getMessage()) == ("INFO", "POST /api/sms 200")
    assert _idle_polls() == before


def test_a_poll_that_gets_something_is_logged(world: World, caplog: pytest.LogCaptureFixture):
    sms = {"to": "+12025550123", "content": "hello"}
    assert (
        world.client.post("/api/v1/messages", json=sms, headers=world.as_crm()).status_code == 202
    )
    caplog.set_level(logging.INFO)
    world.client.post("/api/sms", json={}, headers=world.as_device())
    assert [line.getMessage() for line in _lines(caplog)] == ["POST /api/sms 200"]


def test_refused_polls_are_logged(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world.client.post("/api/sms", json={}, headers=world.as_device(password="wrong"))
    world.client.post("/api/sms", data=b"[", headers=world.as_device())
    assert [line.getMessage() for line in _lines(caplog)] == [
        "POST /api/sms 401",
        "POST /api/sms 400",
    ]


def _idle_polls() -> float:
    return REGISTRY.get_sample_value("smsgw_idle_polls_total", {"door": "cht"}) or 0.0


def test_a_callers_request_id_goes_into_the_log_and_back(world: World):
    answer = world.client.get("/healthz", headers={"X-Request-ID": "from-proxy.1"})
    assert answer.headers["X-Request-ID"] == "from-proxy.1"


@pytest.mark.parametrize("wanted", ["", "a b", "x" * 65, "é"])
def test_an_odd_request_id_is_replaced(world: World, wanted: str):
    answer = world.client.get("/healthz", headers={"X-Request-ID": wanted})
    assert len(answer.headers["X-Request-ID"]) == 32
