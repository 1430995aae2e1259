"""/api/v1/crms: what an operator does to the programs that send and receive."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network

import pytest

from smsgw.http.context import EXTENSION

from .conftest import DRAFT, Api

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def open_loopback(api: Api) -> None:
    """Lets webhooks go to this machine."""
    services = api.world.app.extensions[EXTENSION]
    services.settings = replace(services.settings, webhook_allowed_networks=LOOPBACK)


def _add(api: Api, **body):
    return api.post("/crms", {"name": "shop", **body}, api.operator)


def test_a_new_crm_can_call_with_the_key_that_was_shown(api: Api):
    answer = _add(api)
    assert answer.status_code == 201
    assert list(answer.json) == ["id", "name", "api_key", "webhook"]
    assert answer.json["webhook"] is None
    assert re.fullmatch(r"crm_live_[0-9a-f]{64}", answer.json["api_key"])
    assert api.get("/messages", api.world.as_crm(answer.json["api_key"])).status_code == 200
    assert api.get("/messages", {"X-API-Key": answer.json["api_key"]}).status_code == 200
    location = answer.headers["Location"].removeprefix("/api/v1")
    assert api.get(location, api.operator).json["name"] == "shop"


@pytest.mark.usefixtures("open_loopback")
def test_a_callback_url_makes_a_webhook_with_its_secret(api: Api):
    made = _add(api, callback_url="http://127.0.0.1:9/hook").json
    assert made["webhook"]["secret"].startswith("whsec_")
    headers = api.world.as_crm(made["api_key"])
    (shown,) = api.get("/webhooks", headers).json["data"]
    assert (shown["id"], shown["url"]) == (made["webhook"]["id"], "http://127.0.0.1:9/hook")


def test_a_callback_url_that_may_not_be_reached_makes_nothing(api: Api):
    answer = _add(api, callback_url="http://127.0.0.1:9/hook")
    assert answer.status_code == 422
    assert "SMSGW_WEBHOOK_ALLOWED_NETWORKS" in answer.json["message"]
    assert [crm["name"] for crm in api.get("/crms", api.operator).json["data"]] == ["clinic"]


def test_a_name_is_taken_once(api: Api):
    answer = _add(api, name="clinic")
    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"name": " "}, {"name": "a\nb"}, {"name": 1}, {"device_ids": ["nope"]}]
)
def test_a_wrong_field_of_a_crm_is_named(api: Api, body):
    answer = _add(api, **body)
    assert (answer.status_code, list(answer.json["details"])) == (422, list(body))


def test_without_devices_named_it_may_use_all_and_otherwise_only_those(api: Api):
    api.world.add_device("phone-2")
    assert _add(api).json
    made = _add(api, name="two", device_ids=["phone-2"]).json
    shown = {crm["name"]: crm["device_ids"] for crm in api.get("/crms", api.operator).json["data"]}
    assert shown == {"clinic": None, "shop": None, "two": ["phone-2"]}
    headers = api.world.as_crm(made["api_key"])
    answer = api.post("/messages", {**DRAFT, "device_id": "phone-1"}, headers)
    assert answer.status_code == 422


def test_a_crm_is_found_by_its_id_and_by_its_name(api: Api):
    by_name = api.get("/crms/clinic", api.operator).json
    assert by_name["id"] == api.world.crm_id
    assert api.get(f"/crms/{api.world.crm_id}", api.operator).json == by_name
    assert api.get("/crms/nobody", api.operator).status_code == 404


def test_routes_can_be_changed_and_opened_again(api: Api):
    path = "/crms/clinic"
    changed = api.call("PATCH", path, api.operator, json={"device_ids": []})
    assert changed.json["device_ids"] == []
    assert api.get("/devices").json["data"] == []
    api.call("PATCH", path, api.operator, json={"device_ids": None})
    assert len(api.get("/devices").json["data"]) == 1


def test_of_routes_that_are_set_at_the_same_moment_one_list_stands_alone(api: Api):
    lists = [None, ["phone-1"], ["phone-2"], ["phone-1", "phone-2"], ["phone-3"]]
    for number in (2, 3):
        api.world.add_device(f"phone-{number}")

    def change(device_ids: list[str] | None) -> int:
        body = {"device_ids": device_ids}
        return int(api.call("PATCH", "/crms/clinic", api.operator, json=body).status_code)

    with ThreadPoolExecutor(len(lists)) as threads:
        for _ in range(8):
            assert set(threads.map(change, lists)) == {200}
            found = api.get("/crms/clinic", api.operator).json["device_ids"]
            assert found in lists


def test_what_is_queued_for_a_device_that_is_taken_away_is_cancelled(api: Api):
    api.world.add_device("phone-2")
    gone, kept, open_ = api.send(device_id="phone-1"), api.send(device_id="phone-2"), api.send()
    _, key = api.world.add_crm("other")
    others = api.send(api.world.as_crm(key), device_id="phone-1")
    api.call("PATCH", "/crms/clinic", api.operator, json={"device_ids": ["phone-2"]})
    assert [api.get(f"/messages/{name}").json["status"] for name in (gone, kept, open_)] == [
        "cancelled", "queued", "queued",
    ]  # fmt: skip
    assert [event["type"] for event in api.get("/events").json["data"]] == ["message.cancelled"]
    assert len(api.poll()) == 1
    shown = api.get(f"/messages/{others}", api.world.as_crm(key)).json
    assert shown["status"] == "dispatched"


def test_nothing_is_sent_again_by_a_device_that_was_taken_away(api: Api):
    message_id = api.send(device_id="phone-1")
    (handed,) = api.poll()
    api.poll(updates=[{"id": handed["id"], "status": "FAILED", "reason": "no-service"}])
    api.call("PATCH", "/crms/clinic", api.operator, json={"device_ids": []})
    again = api.post(f"/messages/{message_id}/resend", {})
    assert (again.status_code, again.json["code"]) == (409, "unknown_device")
    api.call("PATCH", "/crms/clinic", api.operator, json={"device_ids": ["phone-1"]})
    assert api.post(f"/messages/{message_id}/resend", {}).status_code == 202


def test_a_disabled_crm_is_told_so(api: Api):
    api.call("PATCH", "/crms/clinic", api.operator, json={"enabled": False})
    answer = api.get("/messages")
    assert (answer.status_code, answer.json["code"]) == (403, "crm_disabled")


@pytest.mark.parametrize("device_id", [None, "phone-1"])
def test_what_a_disabled_crm_has_queued_waits_until_it_is_enabled(api: Api, device_id: str | None):
    message_id = api.send(device_id=device_id)
    switched = api.call("PATCH", "/crms/clinic", api.operator, json={"enabled": False})
    assert switched.status_code == 200
    assert api.poll() == []
    shown = api.get(f"/messages/{message_id}", api.operator).json
    assert (shown["status"], "CRM is disabled" in shown["waiting_for"]["text"]) == ("queued", True)
    api.call("PATCH", "/crms/clinic", api.operator, json={"enabled": True})
    assert len(api.poll()) == 1


def test_what_a_phone_had_before_its_crm_was_disabled_ends_as_ever(api: Api):
    message_id = api.send()
    (handed,) = api.poll()
    api.call("PATCH", "/crms/clinic", api.operator, json={"enabled": False})
    api.poll(updates=[{"id": handed["id"], "status": "DELIVERED"}])
    assert api.get(f"/messages/{message_id}", api.operator).json["status"] == "delivered"


def test_a_change_names_what_is_wrong_and_changes_nothing(api: Api):
    _add(api)
    answer = api.call("PATCH", "/crms/clinic", api.operator, json={"name": "shop"})
    assert answer.status_code == 409
    answer = api.call("PATCH", "/crms/clinic", api.operator, json={"enabled": False, "x": 1})
    assert (answer.status_code, list(answer.json["details"])) == (422, ["x"])
    assert api.get("/crms/clinic", api.operator).json["enabled"] is True


def test_rotating_voids_the_old_key_at_once(api: Api):
    made = api.post("/crms/clinic/rotate", None, api.operator).json
    assert api.get("/messages").status_code == 401
    assert api.get("/messages", api.world.as_crm(made["api_key"])).status_code == 200


def test_a_removed_crm_is_gone_and_what_it_had_queued_is_cancelled(api: Api):
    api.send()
    assert api.call("DELETE", "/crms/clinic", api.operator).status_code == 204
    assert api.get("/messages").status_code == 401
    assert api.get("/crms", api.operator).json["data"] == []
    assert api.poll() == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/crms"), ("POST", "/crms"), ("GET", "/crms/clinic")]
)
def test_crms_are_the_operators_alone(api: Api, method, path):
    assert api.call(method, path, json={"name": "x"}).status_code == 401
