"""The line each request leaves in the log."""

import logging

import pytest

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


def test_a_callers_request_id_goes_into_the_log_and_back(world: World):
    answer = world.client.get("/healthz", headers={"X-Request-ID": "from-proxy.1"})
    assert answer.headers["X-Request-ID"] == "from-proxy.1"


@pytest.mark.parametrize("wanted", ["", "a b", "x" * 65, "é"])
def test_an_odd_request_id_is_replaced(world: World, wanted: str):
    answer = world.client.get("/healthz", headers={"X-Request-ID": wanted})
    assert len(answer.headers["X-Request-ID"]) == 32
