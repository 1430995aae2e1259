"""/api/v1/webhooks and /api/v1/deliveries, as a CRM calls them."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from smsgw.http.context import EXTENSION

from .conftest import Api

URL = "http://127.0.0.1:9/hook"


@pytest.fixture(autouse=True)
def _open_loopback(api: Api) -> None:
    """Lets webhooks go to this machine."""
    services = api.world.app.extensions[EXTENSION]
    networks = (ip_network("127.0.0.0/8"),)
    services.settings = replace(services.settings, webhook_allowed_networks=networks)


def _add(api: Api, **body):
    answer = api.post("/webhooks", {"url": URL, **body})
    assert answer.status_code == 201, answer.text
    return answer.json


def _deliveries(api: Api, webhook_id: str, **query):
    answer = api.get(f"/webhooks/{webhook_id}/deliveries", **query)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_the_secret_is_shown_once(api: Api):
    made = _add(api)
    assert made["secret"].startswith("whsec_")
    shown = api.get(f"/webhooks/{made['id']}").json
    assert "secret" not in shown
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    assert api.get("/webhooks").json["data"] == [shown]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "http://10.0.0.1/x"}, "url"),
        ({"url": "x" * 3000}, "url"),
        ({"url": URL, "events": ["message.lost"]}, "events"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "device_ids": ["nope"]}, "device_ids"),
        ({"url": URL, "enabled": 1}, "enabled"),
        ({"url": URL, "secret": "mine"}, "secret"),
    ],
)
def test_a_wrong_field_of_an_endpoint_is_named(api: Api, body, field):
    answer = api.post("/webhooks", body)
    assert (answer.status_code, list(answer.json["details"])) == (422, [field]), answer.text


def test_an_endpoint_can_be_changed_and_removed(api: Api):
    path = f"/webhooks/{_add(api, events=['message.sent'])['id']}"
    changed = api.call("PATCH", path, json={"events": None, "enabled": False}).json
    assert (changed["events"], changed["enabled"], changed["url"]) == (None, False, URL)
    assert api.call("PATCH", path, json={"url": "http://10.0.0.1/"}).status_code == 422
    assert api.call("DELETE", path).status_code == 204
    assert api.get(path).status_code == 404


def test_another_crms_endpoint_is_not_there(api: Api):
    webhook_id = _add(api)["id"]
    delivery_id = api.post(f"/webhooks/{webhook_id}/test").json["id"]
    _, key = api.world.add_crm("other")
    other = api.world.as_crm(key)
    calls = [
        ("GET", f"/webhooks/{webhook_id}"),
        ("PATCH", f"/webhooks/{webhook_id}"),
        ("DELETE", f"/webhooks/{webhook_id}"),
        ("POST", f"/webhooks/{webhook_id}/test"),
        ("POST", f"/webhooks/{webhook_id}/rotate-secret"),
        ("GET", f"/webhooks/{webhook_id}/deliveries"),
        ("GET", f"/deliveries/{delivery_id}"),
        ("POST", f"/deliveries/{delivery_id}/replay"),
    ]
    for method, path in calls:
        assert api.call(method, path, other).status_code == 404, path
    body = {"since": "2026-01-01T00:00:00Z"}
    assert api.post(f"/webhooks/{webhook_id}/recover", body, other).status_code == 404
    assert api.get("/webhooks", other).json["data"] == []


def test_a_test_is_a_ping_that_can_be_read(api: Api):
    webhook_id = _add(api)["id"]
    answer = api.post(f"/webhooks/{webhook_id}/test")
    assert (answer.status_code, answer.json["event_type"]) == (202, "webhook.ping")
    shown = api.call("GET", answer.headers["Location"].removeprefix("/api/v1")).json
    assert (shown["status"], shown["attempts"]) == ("pending", [])
    assert _deliveries(api, webhook_id)["data"][0]["id"] == shown["id"]


def test_a_test_under_one_key_pings_once(api: Api):
    webhook_id = _add(api)["id"]
    headers = {**api.crm, "Idempotency-Key": "k"}
    for _ in range(2):
        assert api.post(f"/webhooks/{webhook_id}/test", None, headers).status_code == 202
    assert len(_deliveries(api, webhook_id)["data"]) == 1


def test_a_disabled_endpoint_cannot_be_tested(api: Api):
    webhook_id = _add(api, enabled=False)["id"]
    assert api.post(f"/webhooks/{webhook_id}/test").status_code == 409


def test_deliveries_come_in_pages(api: Api):
    webhook_id = _add(api)["id"]
    for _ in range(3):
        api.post(f"/webhooks/{webhook_id}/test")
    first = _deliveries(api, webhook_id, limit=2)
    second = _deliveries(api, webhook_id, limit=2, cursor=first["next_cursor"])
    assert (len(first["data"]), len(second["data"]), second["next_cursor"]) == (2, 1, None)
    assert _deliveries(api, webhook_id, status="delivered")["data"] == []
    for wrong in ({"cursor": "x"}, {"status": "x"}, {"limit": 0}):
        assert api.get(f"/webhooks/{webhook_id}/deliveries", **wrong).status_code == 422


def test_a_delivery_can_be_replayed(api: Api):
    webhook_id = _add(api)["id"]
    delivery_id = api.post(f"/webhooks/{webhook_id}/test").json["id"]
    answer = api.post(f"/deliveries/{delivery_id}/replay")
    assert (answer.status_code, answer.json["id"]) == (202, delivery_id)


def test_what_happened_before_an_endpoint_can_be_recovered(api: Api):
    api.receive("a")
    webhook_id = _add(api)["id"]
    answer = api.post(f"/webhooks/{webhook_id}/recover", {"since": "2020-01-01T00:00:00Z"})
    assert answer.status_code == 202
    assert answer.json == {"created_count": 1, "requeued_count": 0, "has_more": False}
    (delivery,) = _deliveries(api, webhook_id)["data"]
    assert delivery["event_type"] == "message.received"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "2026-01-01"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
    ],
)
def test_a_time_to_recover_must_be_one(api: Api, body, field):
    answer = api.post(f"/webhooks/{_add(api)['id']}/recover", body)
    assert (answer.status_code, list(answer.json["details"])) == (422, [field])


def test_a_rotated_secret_is_another_one(api: Api):
    made = _add(api)
    path = f"/webhooks/{made['id']}/rotate-secret"
    rotated = api.post(path)
    assert rotated.status_code == 200
    assert list(rotated.json) == ["id", "secret"]
    assert rotated.json["secret"] != made["secret"]
    assert api.post(path, {"grace_seconds": -1}).status_code == 422
