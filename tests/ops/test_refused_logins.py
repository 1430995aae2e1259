"""Refused logins: logged with the address for fail2ban, slowed for each address, never for the right secret."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from smsgw.http import refusals
from smsgw.http.refusals import AT_ONCE, MOST_NETWORKS, SECONDS_EACH, Refusals, network_of

from ..conftest import World, application
from ..running import ROOT

WRONG = {
    "device": {"Authorization": "Basic cGhvbmUtMTp3cm9uZw=="},
    "unknown device": {"Authorization": "Basic bm9ib2R5Ondyb25n"},
    "gw": {"Authorization": f"Bearer gw_live_{'0' * 64}"},
    "crm": {"Authorization": f"Bearer crm_live_{'0' * 64}"},
    "header": {"X-API-Key": f"crm_live_{'0' * 64}"},
    "operator": {"Authorization": f"Bearer op_live_{'0' * 64}"},
}
WAYS = [
    ("GET", "/api/sms", "device"),
    ("POST", "/api/sms", "unknown device"),
    ("POST", "/api/sms", "gw"),
    ("POST", "/api/v1/gateway/heartbeat", "gw"),
    ("POST", "/api/v1/gateway/sms/received", "device"),
    ("POST", "/api/v1/sms/send", "crm"),
    ("GET", "/api/v1/messages", "crm"),
    ("POST", "/api/v1/messages/batch", "header"),
    ("GET", "/api/v1/devices", "operator"),
    ("GET", "/api/v1/crms", "operator"),
    ("GET", "/metrics", "operator"),
    ("POST", "/registerDevice", "gw"),
    ("POST", "/registerCRM", "operator"),
    ("POST", "/sendMessage", "crm"),
    ("GET", "/messages/msg_1", "crm"),
    ("GET", "/ws?token=gw_live_0", "none"),
    ("GET", "/ws?apiKey=crm_live_0", "none"),
    ("GET", "/ws", "gw"),
]
ATTACKER = "203.0.113.7"


def _call(world: World, method: str, path: str, who: str, address: str = ATTACKER) -> Any:
    environment = {"REMOTE_ADDR": address}
    return world.client.open(
        path, method=method, headers=WRONG.get(who, {}), environ_base=environment
    )


def _expressions() -> list[str]:
    """Those of docs/https.md, as fail2ban reads them."""
    block = (
        (ROOT / "docs" / "https.md").read_text().partition("failregex = ")[2].partition("```")[0]
    )
    host = r"(?P<host>[0-9a-fA-F:.]+)"
    return [line.strip().replace("<HOST>", host) for line in block.strip().splitlines()]


def _banned(lines: str, log_format: str) -> list[str]:
    """The addresses fail2ban finds; it takes the time out of a line before it looks."""
    expression = _expressions()[0 if log_format == "text" else 1]
    time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    found = [re.search(expression, time.sub("", line, count=1)) for line in lines.splitlines()]
    return [match["host"] for match in found if match]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_every_refused_login_is_a_line_that_fail2ban_reads(world: World, written, log_format: str):
    stream = written(log_format, "INFO")
    for number, (method, path, who) in enumerate(WAYS):
        answer = _call(world, method, path, who, f"203.0.113.{number}")
        assert (path, answer.status_code) == (path, 401)
    assert _banned(stream.getvalue(), log_format) == [f"203.0.113.{n}" for n in range(len(WAYS))]
    assert "0000000000" not in stream.getvalue()
    assert "nobody" not in stream.getvalue()


def test_the_journals_prefix_is_read_too():
    line = "host smsgw[12]: 2026-03-01T12:00:00.000Z WARNING smsgw.logins login refused address=::1 x=y"
    found = re.search(_expressions()[0], line)
    assert found
    assert found["host"] == "::1"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nobody_can_have_somebody_else_banned(world: World, written, log_format: str):
    stream = written(log_format, "INFO")
    forged = "WARNING smsgw.logins login refused address=198.51.100.1 "
    as_json = (
        '{"time": "", "level": "warning", "logger": "smsgw.logins", "message": "login refused", '
    )
    for text in (forged, f"\n{forged}", f"\r\n {forged}", f'{as_json}"address": "198.51.100.1"'):
        world.client.get("/" + text)
        world.client.get("/api/v1/messages/" + text, headers=world.as_crm())
        world.client.open("/x", method=text.partition(" ")[0] or "GET")
        headers = {"Authorization": f"Bearer {text}".replace("\n", "").replace("\r", "")}
        world.client.get("/api/v1/messages", headers=headers, environ_base={"REMOTE_ADDR": text})
    assert "198.51.100.1" not in _banned(stream.getvalue(), log_format)
    assert "address=unknown" in stream.getvalue() or '"address": "unknown"' in stream.getvalue()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is in time again before the test ends, however slow the machine is."""
    monkeypatch.setattr(refusals, "SECONDS_EACH", 1e6)


@pytest.mark.usefixtures("patient")
def test_many_wrong_passwords_are_slowed_and_fill_no_log(world: World, written):
    stream = written("text", "INFO")
    answers = [_call(world, "POST", "/api/sms", "device") for _ in range(AT_ONCE + 200)]
    codes = [answer.status_code for answer in answers]
    assert codes == [401] * AT_ONCE + [429] * 200
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json["code"] == "too_many_refusals"
    assert int(refused.headers["Retry-After"]) >= 1
    assert len(stream.getvalue().splitlines()) == 2 * codes.count(401)


@pytest.mark.usefixtures("patient")
def test_the_right_secret_is_let_in_at_once_from_an_address_under_attack(world: World):
    for _ in range(AT_ONCE + 5):
        _call(world, "POST", "/api/sms", "device")
    assert _call(world, "POST", "/api/sms", "device").status_code == 429
    near = {"environ_base": {"REMOTE_ADDR": ATTACKER}}
    assert (
        world.client.post("/api/sms", json={}, headers=world.as_device(), **near).status_code == 200
    )
    assert world.client.get("/api/v1/messages", headers=world.as_crm(), **near).status_code == 200
    # At the check of its settings the stock app shows a fitting text for 401 only.
    check = _call(world, "GET", "/api/sms", "device")
    assert check.status_code == 401
    assert "WWW-Authenticate" in check.headers
    assert _call(world, "GET", "/api/v1/messages", "crm").status_code == 429
    assert _call(world, "GET", "/api/v1/messages", "crm", "203.0.113.8").status_code == 401
    without_a_key = world.client.get("/api/v1/messages", **near)
    assert without_a_key.status_code == 401


def test_a_right_key_in_the_wrong_place_is_no_guess(world: World, written):
    stream = written("text", "INFO")
    for _ in range(AT_ONCE + 5):
        for path in ("/api/v1/crms", "/api/sms", "/metrics"):
            assert world.client.get(path, headers=world.as_crm()).status_code == 401
    assert "login refused" not in stream.getvalue()


def test_the_address_is_the_one_the_trusted_proxy_saw(world: World, written, settings):
    stream = written("text", "INFO")
    headers = {**WRONG["crm"], "X-Forwarded-For": "198.51.100.9, 203.0.113.5"}
    with application(replace(settings, trusted_proxies=1)) as app:
        app.test_client().get("/api/v1/messages", headers=headers)
    world.client.get("/api/v1/messages", headers=headers)
    assert _banned(stream.getvalue(), "text") == ["203.0.113.5", "127.0.0.1"]


def test_an_ipv6_network_is_slowed_as_one():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") == "2001:db8:0:1::/64"
    assert network_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert refusals.shown("a\nWARNING x") == "unknown"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.7:50123", "203.0.113.7"),
        ("[2001:db8::1]:50123", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("203.0.113.7:", "unknown"),
        ("203.0.113.7:50123 x", "unknown"),
        ("[203.0.113.7", "unknown"),
        ("[]:1", "unknown"),
    ],
)
def test_the_port_that_some_proxies_write_behind_an_address_is_left_out(written, address):
    """Else all who come by such a proxy are slowed as one."""
    assert refusals.shown(written) == address


def test_refusals_are_counted_in_time_and_in_bounded_memory():
    counted = Refusals()
    for moment in range(3):
        early = [counted.count("a", 1000.0 * moment)[0] for _ in range(AT_ONCE + 3)]
        assert early[:AT_ONCE] == [0.0] * AT_ONCE
        assert early[AT_ONCE:] == [SECONDS_EACH] * 3
        # The next line in time says how many had none.
        assert counted.count("a", 1000.0 * moment + SECONDS_EACH) == (0.0, 3)
    for number in range(MOST_NETWORKS + 100):
        counted.count(str(number), 5000.0)
    assert len(counted._networks) == MOST_NETWORKS


def test_a_line_in_json_has_the_address_first(world: World, written):
    stream = written("json", "INFO")
    _call(world, "POST", "/api/sms", "device")
    line = json.loads(stream.getvalue().splitlines()[0])
    assert list(line)[:5] == ["time", "level", "logger", "message", "address"]
    assert line["reason"] == "wrong_password"
    assert line["device_id"] == "phone-1"
