"""/api/v1/devices: a CRM reads its own, an operator changes all."""

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from smsgw import clock

from .conftest import DRAFT, Api

SHOWN = {"device_id", "online", "last_seen_at", "app_version", "queued_count", "in_flight_count"}


def test_a_new_device_can_poll_with_what_was_shown(api: Api):
    answer = api.post("/devices", {"device_id": "phone-2", "phone": "+49 30 123456"}, api.operator)
    assert answer.status_code == 201
    login = answer.json
    assert list(login) == ["device_id", "username", "password", "url"]
    assert login["device_id"] == login["username"] == "phone-2"
    assert re.fullmatch(r"[a-z0-9]{20}", login["password"])
    url = urlsplit(login["url"])
    assert (url.username, url.password, url.path) == ("phone-2", login["password"], "/api/sms")
    headers = api.world.as_device("phone-2", login["password"])
    assert api.world.client.get(url.path, headers=headers).json == {"medic-gateway": True}
    assert api.get("/devices/phone-2").json["phone"] == "+4930123456"


def test_a_device_with_a_key_can_call_with_it(api: Api):
    key = api.post("/devices", {"device_id": "p", "key": True}, api.operator).json["password"]
    assert re.fullmatch(r"gw_live_[0-9a-f]{64}", key)
    headers = {"Authorization": f"Bearer {key}"}
    assert api.world.client.get("/api/sms", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "device_id"),
        ({"device_id": ""}, "device_id"),
        ({"device_id": "a b"}, "device_id"),
        ({"device_id": "a\n"}, "device_id"),
        ({"device_id": "x" * 65}, "device_id"),
        ({"device_id": "a", "key": "yes"}, "key"),
        ({"device_id": "a", "phone": "hello"}, "phone"),
        ({"device_id": "a", "phone": ""}, "phone"),
        ({"device_id": "a", "password": "secret"}, "password"),
    ],
)
def test_a_wrong_field_of_a_device_is_named(api: Api, body, field):
    answer = api.post("/devices", body, api.operator)
    assert (answer.status_code, list(answer.json["details"])) == (422, [field])


def test_a_changed_number_has_to_be_one(api: Api):
    def change(phone: str | None):
        return api.call("PATCH", "/devices/phone-1", api.operator, json={"phone": phone})

    refused = change("hello")
    assert (refused.status_code, list(refused.json["details"])) == (422, ["phone"])
    assert api.get("/devices/phone-1").json["phone"] == "+4915112345678"
    assert change("+49 30 123456").json["phone"] == "+4930123456"
    assert change(None).json["phone"] is None


def test_a_name_that_is_there_is_a_conflict(api: Api):
    answer = api.post("/devices", {"device_id": "phone-1"}, api.operator)
    assert (answer.status_code, answer.json["code"]) == (409, "device_exists")


def test_a_crm_sees_only_the_devices_it_may_use(api: Api):
    api.world.add_device("phone-2")
    _, key = api.world.add_crm("other", ["phone-2"])
    other = api.world.as_crm(key)
    assert [one["device_id"] for one in api.get("/devices", other).json["data"]] == ["phone-2"]
    assert api.get("/devices/phone-2", other).status_code == 200
    assert api.get("/devices/phone-1", other).status_code == 404
    both = ["phone-1", "phone-2"]
    assert [one["device_id"] for one in api.get("/devices").json["data"]] == both
    assert [one["device_id"] for one in api.get("/devices", api.operator).json["data"]] == both


def test_a_device_tells_what_waits_for_it_and_what_it_has_in_hand(api: Api):
    api.send()
    api.poll()
    api.send(device_id="phone-1")
    shown = api.get("/devices/phone-1").json
    assert set(shown) >= SHOWN
    assert (shown["queued_count"], shown["in_flight_count"]) == (1, 1)


def test_a_device_is_online_until_it_is_silent_too_long(api: Api):
    assert api.get("/devices/phone-1").json["online"] is False
    api.see_device(clock.now())
    assert api.get("/devices/phone-1").json["online"] is True
    api.see_device(clock.now() - timedelta(seconds=api.world.settings.device_offline_seconds))
    assert api.get("/devices/phone-1").json["online"] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/devices"),
        ("PATCH", "/devices/phone-1"),
        ("DELETE", "/devices/phone-1"),
        ("POST", "/devices/phone-1/rotate"),
        ("POST", "/devices/phone-1/reset"),
        ("POST", "/devices/phone-1/resume"),
    ],
)
def test_a_crm_changes_no_device(api: Api, method, path):
    assert api.call(method, path, json={"device_id": "x"}).status_code == 401


def test_a_disabled_device_is_refused_until_it_is_enabled(api: Api):
    def polls() -> int:
        return api.world.client.post("/api/sms", json={}, headers=api.world.as_device()).status_code

    changed = api.call("PATCH", "/devices/phone-1", api.operator, json={"enabled": False})
    assert changed.json["enabled"] is False
    assert polls() == 403
    api.call("PATCH", "/devices/phone-1", api.operator, json={"enabled": True})
    assert polls() == 200


def test_a_change_leaves_alone_what_it_does_not_name(api: Api):
    path = "/devices/phone-1"
    assert api.call("PATCH", path, api.operator, json={}).json["phone"] == "+4915112345678"
    assert api.call("PATCH", path, api.operator, json={"phone": None}).json["phone"] is None
    assert api.call("PATCH", path, api.operator, json={"name": "x"}).status_code == 422


def test_rotating_voids_the_old_password_at_once(api: Api):
    login = api.post("/devices/phone-1/rotate", None, api.operator).json
    client = api.world.client
    assert client.get("/api/sms", headers=api.world.as_device()).status_code == 401
    headers = api.world.as_device("phone-1", login["password"])
    assert client.get("/api/sms", headers=headers).status_code == 200
    assert (
        api.post("/devices/phone-1/rotate", {"key": True}, api.operator)
        .json["password"]
        .startswith("gw_live_")
    )


def test_a_removed_device_is_gone_and_its_messages_stay(api: Api):
    api.receive("a", content="kept")
    assert api.call("DELETE", "/devices/phone-1", api.operator).status_code == 204
    assert api.get("/devices", api.operator).json["data"] == []
    assert api.get("/devices/phone-1", api.operator).status_code == 404
    assert api.get("/messages").json["data"][0]["content"] == "kept"
    assert api.post("/messages", {**DRAFT, "device_id": "phone-1"}).status_code == 422


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("name", ["phone-9", "é", "a b"])
def test_an_unknown_device_is_not_found(api: Api, method, name):
    assert api.call(method, f"/devices/{name}", api.operator, json={}).status_code == 404


def test_a_reset_device_has_nothing_in_hand_and_the_crm_is_told(api: Api):
    message_id = api.send()
    api.poll()
    shown = api.post("/devices/phone-1/reset", None, api.operator)
    assert (shown.status_code, shown.json["in_flight_count"]) == (200, 0)
    message = api.get(f"/messages/{message_id}").json
    assert (message["status"], message["reason_class"]) == ("failed", "unconfirmed")
    refused = api.post(f"/messages/{message_id}/resend", {})
    assert (refused.status_code, refused.json["code"]) == (409, "may_duplicate")
    assert api.post("/devices/nobody/reset", None, api.operator).status_code == 404


def test_limits_of_a_device_are_set_one_by_one_and_given_back_by_null(api: Api):
    def change(**limits: Any) -> dict[str, Any]:
        answer = api.call("PATCH", "/devices/phone-1", api.operator, json={"limits": limits})
        assert answer.status_code == 200, answer.text
        return answer.json

    own = {"segments_per_hour": 100, "recipients_per_month": 90}
    shown = change(**own)
    assert shown["limits"] == {"segments_per_minute": None, "segments_per_day": None, **own}
    assert change(segments_per_hour=None)["limits"]["recipients_per_month"] == 90
    shown = api.get("/devices/phone-1").json
    assert shown["usage"] == {
        "segments_per_minute": {"limit": 24, "used": 0},
        "segments_per_hour": {"limit": None, "used": None},
        "segments_per_day": {"limit": None, "used": None},
        "recipients_per_month": {"limit": 90, "used": 0},
    }
    assert (shown["limited_until"], shown["limited_reason"]) == (None, None)


@pytest.mark.parametrize(
    "limits",
    [
        {"segments_per_hour": 0},
        {"segments_per_hour": -1},
        {"segments_per_hour": 10**10},
        {"segments_per_hour": "3"},
        {"segments_per_hour": 1.5},
        {"segments_per_hour": True},
        {"segments_per_week": 3},
        None,
        [],
        7,
    ],
)
def test_what_is_no_limit_is_refused_and_changes_nothing(api: Api, limits: Any):
    body = {"limits": limits, "phone": None}
    assert api.call("PATCH", "/devices/phone-1", api.operator, json=body).status_code == 422
    assert api.get("/devices/phone-1").json["phone"] is not None


def test_a_device_shows_what_it_used_of_its_limits_and_until_when_it_gets_no_more(api: Api):
    body = {"limits": {"segments_per_hour": 2, "recipients_per_month": 5}}
    api.call("PATCH", "/devices/phone-1", api.operator, json=body)
    for _ in range(3):
        api.send()
    assert len(api.poll()) == 2
    shown = api.get("/devices/phone-1").json
    assert shown["usage"]["segments_per_hour"] == {"limit": 2, "used": 2}
    assert shown["usage"]["recipients_per_month"] == {"limit": 5, "used": 1}
    until = datetime.fromisoformat(shown["limited_until"]) - clock.now()
    assert timedelta(minutes=58) < until <= timedelta(hours=1)
    assert shown["limited_reason"] == "has used 2 of 2 segments in the last 60 minutes"


def test_a_paused_device_is_resumed(api: Api):
    until = clock.now() + timedelta(minutes=5)
    paused = {"paused_until": until, "pause_count": 1, "pause_reason": "no credit"}
    api.set_device(**paused)
    shown = api.get("/devices/phone-1").json
    assert "no credit" in shown["limited_reason"]
    assert api.post("/devices/nobody/resume", None, api.operator).status_code == 404
    assert api.post("/devices/phone-1/resume", None, api.operator).json["limited_until"] is None
    for before, expected in ((True, True), (False, False)):
        api.set_device(**paused, enabled=before)
        body = {"enabled": True}
        shown = api.call("PATCH", "/devices/phone-1", api.operator, json=body).json
        assert (shown["limited_until"] is not None) is expected


def test_the_metrics_show_limits_and_pauses(api: Api):
    until = clock.now() + timedelta(minutes=5)
    api.set_device(segments_per_hour=7, paused_until=until, pause_count=1)
    text = api.world.client.get("/metrics", headers=api.operator).text
    labels = '{device_id="phone-1",limit="segments_per_hour"}'
    assert f"smsgw_device_limit{labels} 7.0" in text
    assert f"smsgw_device_limit_used{labels} 0.0" in text
    (line,) = [
        one
        for one in text.splitlines()
        if one.startswith('smsgw_device_paused_seconds{device_id="phone-1"}')
    ]
    assert 200 < float(line.split()[-1]) <= 300
