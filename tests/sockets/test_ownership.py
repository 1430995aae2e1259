"""Whose a device is: what a CRM that registers one gets of others, and what others get of it."""

import base64
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import crms, enrolment, ownership
from smsgw.core.devices import registry
from smsgw.http.context import EXTENSION
from smsgw.store.models import CrmDevice, Device
from smsgw.websocket_api.device_socket import KIND
from tests.conftest import NOW

from .conftest import INCOMING, Stage, frames_of, say

SMS = {"id": "7c0c2f0c-30f5-4a3a-8f8b-5a5a10e9a001", "from": "+12025550177", "content": "forged"}


def basic(device_id: str, secret: str) -> dict[str, str]:
    pair = base64.b64encode(f"{device_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def register(stage: Stage, device_id: str, key: str | None = None) -> Any:
    return stage.call("POST", "/registerDevice", {"deviceId": device_id}, key)


def poll(stage: Stage, device_id: str, secret: str, **body: Any) -> Any:
    return stage.world.client.post("/api/sms", json=body, headers=basic(device_id, secret))


def messages(stage: Stage, key: str, **query: str) -> list[dict[str, Any]]:
    answer = stage.world.client.get(
        "/api/v1/messages", headers={"Authorization": f"Bearer {key}"}, query_string=query
    )
    assert answer.status_code == 200
    return answer.json["data"]


def send(stage: Stage, key: str, **draft: Any) -> Any:
    return stage.call(
        "POST", "/api/v1/messages", {"to": "+12025550123", "content": "code 1234", **draft}, key
    )


def names(stage: Stage, key: str) -> list[str]:
    return [one["device_id"] for one in stage.call("GET", "/api/v1/devices", key=key).json["data"]]


@pytest.fixture
def evil(stage: Stage) -> str:
    """The token of a device that the CRM with one device registered; `clinic` may use all devices."""
    made = register(stage, "evil", stage.crm_key)
    assert made.status_code == 201
    return made.json["token"]


def test_a_crms_own_device_is_handed_no_message_of_another_crm(stage: Stage, evil: str):
    assert send(stage, stage.world.crm_key).status_code == 202
    assert send(stage, stage.world.crm_key, device_id="evil").status_code == 422
    assert poll(stage, "evil", evil).json == {"messages": []}
    assert frames_of(stage.device(evil).opened()) == []
    own = send(stage, stage.crm_key, device_id="evil").json["id"]
    (handed,) = poll(stage, "evil", evil).json["messages"]
    assert handed["content"] == "code 1234"
    shown = stage.call("GET", f"/api/v1/messages/{own}", key=stage.crm_key).json
    assert shown["device_id"] == "evil"


def test_what_a_crms_own_device_received_reaches_that_crm_alone(stage: Stage, evil: str):
    poll(stage, "evil", evil, messages=[SMS])
    say(stage.device(evil), {**INCOMING, "deviceId": "evil"})
    stage.call("POST", "/api/v1/gateway/sms/received", _mysmsapio_sms(), evil)
    assert messages(stage, stage.world.crm_key) == []
    assert [one["device_id"] for one in messages(stage, stage.crm_key)] == ["evil"] * 3
    feed = stage.call("GET", "/api/v1/events", key=stage.world.crm_key).json
    assert feed["data"] == []


def test_others_are_told_nothing_of_a_crms_own_device(stage: Stage, evil: str):
    poll(stage, "evil", evil)
    stage.device(evil).opened()
    stage.run_housekeeping()
    assert "evil" not in names(stage, stage.world.crm_key)
    assert "evil" in names(stage, stage.crm_key)
    assert stage.call("GET", "/api/v1/devices/evil", key=stage.world.crm_key).status_code == 404
    feed = stage.call("GET", "/api/v1/events", key=stage.world.crm_key).json["data"]
    assert [one for one in feed if one["data"].get("device_id") == "evil"] == []
    figures = stage.call("GET", "/api/v1/stats", key=stage.world.crm_key).json["devices"]
    assert "evil" not in [one["device_id"] for one in figures]


def test_a_device_reports_on_nothing_that_another_was_handed(stage: Stage, evil: str):
    message_id = stage.queue()
    (_, frame), *_ = frames_of(stage.device().opened())
    update = {"id": frame["messageId"], "status": "DELIVERED"}
    poll(stage, "evil", evil, updates=[update])
    say(stage.device(evil), {"messageId": frame["messageId"], "status": "DELIVERED"})
    shown = stage.call("GET", f"/api/v1/messages/{message_id}", key=stage.crm_key).json
    assert shown["status"] == "dispatched"


def test_an_operator_routes_a_crms_own_device_to_others(stage: Stage, evil: str):
    send(stage, stage.world.crm_key)
    path = f"/devices/evil/crms/{stage.world.crm_id}"
    assert stage.call("PUT", path, key=stage.crm_key).status_code in (401, 403)
    assert poll(stage, "evil", evil).json == {"messages": []}
    assert stage.call("PUT", path, key=stage.operator_key).status_code == 204
    assert "evil" in names(stage, stage.world.crm_key)
    assert len(poll(stage, "evil", evil).json["messages"]) == 1
    assert stage.call("DELETE", path, key=stage.operator_key).status_code == 204
    assert "evil" not in names(stage, stage.world.crm_key)


def test_a_device_is_not_taken_from_the_crm_it_belongs_to_by_unmapping(stage: Stage, evil: str):
    path = f"/devices/evil/crms/{stage.crm_id}"
    refused = stage.call("DELETE", path, key=stage.operator_key)
    assert (refused.status_code, refused.json["code"]) == (409, "own_device")
    routes = {"device_ids": ["12345"]}
    stage.call("PATCH", f"/api/v1/crms/{stage.crm_id}", routes, stage.operator_key)
    assert names(stage, stage.crm_key) == ["12345", "evil"]


@pytest.mark.parametrize("name", ["12345", "phone-1", "Phone-1", "PHONE-1", "theirs", "THEIRS"])
def test_no_crm_takes_a_name_of_others(stage: Stage, name: str):
    _, key = stage.world.add_crm("other", [])
    assert register(stage, "theirs", stage.crm_key).status_code == 201
    refused = register(stage, name, key)
    assert (refused.status_code, refused.json["code"]) == (409, "device_exists")
    assert names(stage, key) == []
    assert stage.device().opened() == [], "its token is still good"


@pytest.mark.parametrize("name", ["12345", "own", "OWN"])
@pytest.mark.parametrize("state", ["removed", "disabled"])
def test_no_crm_brings_a_removed_or_disabled_device_back(stage: Stage, name: str, state: str):
    register(stage, "own", stage.crm_key)
    for device_id in ("own", "12345"):
        with stage.world.database.transaction() as session:
            device = registry.get(session, device_id)
            device.enabled = False
            if state == "removed":
                enrolment.remove(session, device, NOW)
    for key in (stage.crm_key, stage.world.crm_key):
        assert register(stage, name, key).status_code == 409
    assert register(stage, "own", stage.operator_key).status_code in (200, 201)


def test_only_the_operators_and_the_owner_give_a_device_a_new_token(stage: Stage, evil: str):
    assert register(stage, "evil", stage.world.crm_key).status_code == 409
    assert register(stage, "evil", stage.token).status_code == 409
    assert register(stage, "12345", stage.crm_key).status_code == 409, "routed is not owned"
    renewed = register(stage, "evil", stage.crm_key)
    assert renewed.status_code == 200
    assert poll(stage, "evil", evil).status_code == 401
    again = register(stage, "evil", renewed.json["token"])
    assert again.status_code == 200
    assert register(stage, "evil", stage.operator_key).status_code == 200
    assert "evil" not in names(stage, stage.world.crm_key), "it is still that CRM's own"


def test_a_device_that_polls_with_another_app_is_still_its_crms(stage: Stage, evil: str):
    poll(stage, "evil", evil)
    assert register(stage, "evil", stage.crm_key).status_code == 200
    assert register(stage, "evil", stage.world.crm_key).status_code == 409


def test_a_devices_token_makes_no_other_device(stage: Stage, evil: str):
    refused = register(stage, "another", evil)
    assert (refused.status_code, refused.json["code"]) == (403, "other_device")


def test_a_crm_has_so_many_devices_and_no_more(stage: Stage):
    served = stage.world.app.extensions[EXTENSION]
    served.settings = replace(served.settings, devices_per_crm=2)
    statuses = [register(stage, f"d{number}", stage.crm_key).status_code for number in range(4)]
    assert statuses == [201, 201, 409, 409]
    refused = register(stage, "d9", stage.crm_key).json
    assert (refused["code"], "SMSGW_DEVICES_PER_CRM" in refused["message"]) == (
        "too_many_devices",
        True,
    )
    assert register(stage, "d0", stage.crm_key).status_code == 200, "one of its own"
    assert register(stage, "d9", stage.world.crm_key).status_code == 201, "each has its own count"


def test_what_was_queued_for_a_name_before_goes_to_no_new_owner(stage: Stage, evil: str):
    send(stage, stage.world.crm_key, device_id="phone-1")
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.crm_id)
        ownership.assign(session, registry.get(session, "phone-1"), crm, NOW)
    (one,) = messages(stage, stage.world.crm_key)
    assert one["status"] == "cancelled"
    assert poll(stage, "phone-1", stage.world.password).json == {"messages": []}


def test_even_what_slipped_into_a_devices_queue_is_not_handed_out(stage: Stage, evil: str):
    """A message may be queued while its route goes away."""
    message_id = send(stage, stage.world.crm_key, device_id="phone-1").json["id"]
    with stage.world.database.transaction() as session:
        session.execute(
            sa.update(Device).where(Device.id == "phone-1").values(owner_crm_id=stage.crm_id)
        )
    assert poll(stage, "phone-1", stage.world.password).json == {"messages": []}
    own = send(stage, stage.crm_key, device_id="phone-1").json["id"]
    assert len(poll(stage, "phone-1", stage.world.password).json["messages"]) == 1
    shown = stage.call("GET", f"/api/v1/messages/{own}", key=stage.crm_key).json
    assert shown["status"] == "dispatched"
    path = f"/api/v1/messages/{message_id}"
    waiting = stage.call("GET", path, key=stage.world.crm_key).json["waiting_for"]
    assert "may not use it any more" in waiting["text"]


def test_a_disabled_crms_devices_stop_and_go_on_when_it_is_enabled(stage: Stage, evil: str):
    send(stage, stage.crm_key, device_id="evil")
    with_socket = register(stage, "evil-2", stage.crm_key).json["token"]
    conversation = stage.device(with_socket)
    conversation.opened()
    switch(stage, False)
    assert poll(stage, "evil", evil).status_code == 403
    assert stage.call("POST", "/api/v1/gateway/heartbeat", {}, evil).status_code == 403
    assert stage.call("GET", f"/ws?token={evil}").status_code == 403
    assert register(stage, "evil", evil).status_code == 409
    assert conversation in KIND.inspect(stage.world.database, [conversation])
    assert said_codes(conversation.work()) == [4001]
    switch(stage, True)
    assert len(poll(stage, "evil", evil).json["messages"]) == 1


def test_a_crms_devices_go_with_it(stage: Stage, evil: str):
    with stage.world.database.transaction() as session:
        crms.remove(session, crms.get(session, stage.crm_id), NOW)
    assert poll(stage, "evil", evil).status_code == 401
    assert stage.call("GET", f"/ws?token={evil}").status_code == 401
    assert names(stage, stage.operator_key) == ["12345", "phone-1"]
    assert register(stage, "evil", stage.world.crm_key).status_code == 409
    revived = register(stage, "evil", stage.operator_key)
    assert revived.status_code == 201
    assert "evil" in names(stage, stage.world.crm_key), "it is the operators' now"


def test_an_operator_sees_whose_each_device_is_and_gives_it_to_another(stage: Stage, evil: str):
    shown = stage.call("GET", "/api/v1/devices/evil", key=stage.operator_key).json
    assert (shown["crm_id"], shown["crm"], shown["approved"]) == (stage.crm_id, "CRM", True)
    path = "/api/v1/devices/evil"
    changed = stage.call("PATCH", path, {"crm": None}, stage.operator_key)
    assert (changed.status_code, changed.json["crm"]) == (200, None)
    assert "evil" in names(stage, stage.world.crm_key)
    changed = stage.call("PATCH", path, {"crm": "clinic"}, stage.operator_key)
    assert changed.json["crm_id"] == stage.world.crm_id
    assert "evil" not in names(stage, stage.crm_key)
    assert stage.call("PATCH", path, {"crm": "nobody"}, stage.operator_key).status_code == 404
    assert stage.call("PATCH", path, {"crm": None}, stage.crm_key).status_code in (401, 403)


@pytest.mark.parametrize("way", ["mapped", "listed", "routed before it was its own"])
def test_a_crm_keeps_no_way_to_a_device_that_was_its_own(stage: Stage, evil: str, way: str):
    owner, path = stage.crm_id, "/api/v1/devices/evil"
    if way == "mapped":
        mapped = stage.call("PUT", f"/devices/evil/crms/{owner}", key=stage.operator_key)
        assert mapped.status_code == 204
    elif way == "listed":
        shown = stage.call("GET", f"/api/v1/crms/{owner}", key=stage.operator_key).json
        listed = {"device_ids": shown["device_ids"]}
        changed = stage.call("PATCH", f"/api/v1/crms/{owner}", listed, stage.operator_key)
        assert changed.json["device_ids"] == ["12345", "evil"]
    else:
        with stage.world.database.transaction() as session:
            session.add(CrmDevice(crm_id=owner, device_id="evil"))
    assert "evil" in names(stage, stage.crm_key)
    send(stage, stage.crm_key, device_id="evil")
    changed = stage.call("PATCH", path, {"crm": "clinic"}, stage.operator_key)
    assert (changed.status_code, names(stage, stage.crm_key)) == (200, ["12345"])
    assert send(stage, stage.crm_key, device_id="evil").status_code == 422
    poll(stage, "evil", evil, messages=[SMS])
    assert messages(stage, stage.crm_key, direction="inbound") == []
    assert len(messages(stage, stage.world.crm_key, direction="inbound")) == 1


def test_a_route_of_another_crm_outlives_a_change_of_owner(stage: Stage, evil: str):
    other = stage.world.crm_id
    assert (
        stage.call("PUT", f"/devices/evil/crms/{other}", key=stage.operator_key).status_code == 204
    )
    third, _ = stage.world.add_crm("third", [])
    changed = stage.call("PATCH", "/api/v1/devices/evil", {"crm": third}, stage.operator_key)
    assert changed.status_code == 200
    assert "evil" in names(stage, stage.world.crm_key)


def test_a_crm_that_may_use_all_devices_has_its_own_too(stage: Stage):
    token = register(stage, "theirs", stage.world.crm_key).json["token"]
    assert names(stage, stage.world.crm_key) == ["12345", "phone-1", "theirs"]
    assert names(stage, stage.crm_key) == ["12345"]
    send(stage, stage.world.crm_key)
    assert len(poll(stage, "theirs", token).json["messages"]) == 1


def switch(stage: Stage, enabled: bool) -> None:
    path = f"/api/v1/crms/{stage.crm_id}"
    changed = stage.call("PATCH", path, {"enabled": enabled}, stage.operator_key)
    assert changed.status_code == 200


def said_codes(answer: Any) -> list[int]:
    return [words.code for words in answer]


def _mysmsapio_sms() -> dict[str, str]:
    return {
        "phone_number": "+12025550178",
        "message_body": "forged",
        "received_at": "2026-03-01T11:59:00Z",
    }
