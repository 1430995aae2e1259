"""Registering without a key: who may come while it is open, and what a stranger gets before an operator approves it."""

from dataclasses import replace
from typing import Any

import pytest

from smsgw import clock
from smsgw.core.accounts import crms, enrolment, ownership
from smsgw.core.devices import pairing, registry
from smsgw.core.operations import callers
from smsgw.http.context import EXTENSION
from tests.conftest import NOW

from .conftest import Stage
from .test_ownership import SMS, messages, names, poll, register, send

GATEWAY = "/api/v1/gateway/register"


def allow(stage: Stage, **settings: bool) -> None:
    served = stage.world.app.extensions[EXTENSION]
    served.settings = replace(served.settings, **settings)


def open_both(stage: Stage) -> None:
    allow(stage, open_registration=True, open_crm_registration=True)


def register_crm(stage: Stage, name: str, key: str | None = None) -> Any:
    return stage.call("POST", "/registerCRM", {"crmName": name}, key)


@pytest.fixture
def stranger(stage: Stage) -> str:
    """The token of a device that registered itself."""
    open_both(stage)
    made = register(stage, "stranger")
    assert made.status_code == 201
    return made.json["token"]


@pytest.fixture
def gateway(stage: Stage) -> str:
    """The key of a gateway of MySMSAPio that registered itself."""
    open_both(stage)
    made = stage.call("POST", GATEWAY, {"device_id": "gateway", "name": "mine"})
    assert made.status_code == 201
    return made.json["gateway"]["api_key"]


def test_pairing_lets_phones_in_and_no_crm(stage: Stage):
    with stage.world.database.transaction() as session:
        pairing.PHONES.open_for(session, 5, clock.now())
    assert register_crm(stage, "new").status_code == 401
    assert register(stage, "new").status_code == 201
    stage.pass_time(minutes=6)
    assert register(stage, "newer").status_code == 401


def test_a_crm_registers_itself_only_where_an_operator_opened_that(stage: Stage):
    allow(stage, open_registration=True)
    refused = register_crm(stage, "new")
    assert (refused.status_code, "'crm pair'" in refused.json["message"]) == (401, True)
    with stage.world.database.transaction() as session:
        pairing.CRMS.open_for(session, 5, clock.now())
    allow(stage, open_registration=False)
    assert register_crm(stage, "new").status_code == 201
    assert register(stage, "new").status_code == 401, "phones have a registration of their own"
    stage.pass_time(minutes=6)
    assert register_crm(stage, "newer").status_code == 401
    allow(stage, open_crm_registration=True)
    assert register_crm(stage, "newer").status_code == 201


def test_a_crm_that_registered_itself_has_only_its_own_devices(stage: Stage):
    open_both(stage)
    made = register_crm(stage, "stranger").json
    key = made["apiKey"]
    assert names(stage, key) == []
    assert send(stage, key, device_id="phone-1").status_code == 422
    send(stage, key)
    assert poll(stage, "phone-1", stage.world.password).json == {"messages": []}
    poll(stage, "phone-1", stage.world.password, messages=[SMS])
    assert messages(stage, key, direction="inbound") == []
    token = register(stage, "its-own", key).json["token"]
    assert names(stage, key) == ["its-own"]
    assert len(poll(stage, "its-own", token).json["messages"]) == 1


def test_a_crm_that_registered_itself_is_shown_until_an_operator_approves_it(stage: Stage):
    open_both(stage)
    crm_id = register_crm(stage, "stranger").json["crmId"]
    path = f"/api/v1/crms/{crm_id}"
    assert stage.call("GET", path, key=stage.operator_key).json["approved"] is False
    assert "crm stranger" in findings(stage)
    assert stage.call("POST", f"{path}/approve", key=stage.crm_key).status_code in (401, 403)
    approved = stage.call("POST", f"{path}/approve", key=stage.operator_key)
    assert (approved.status_code, approved.json["approved"]) == (200, True)
    assert approved.json["device_ids"] == [], "what it may use is for the operator to say"
    assert "crm stranger" not in findings(stage)


def test_routing_a_device_to_a_crm_approves_it(stage: Stage):
    open_both(stage)
    for number, act in enumerate((("PATCH", "{path}"), ("PUT", "/devices/phone-1/crms/{id}"))):
        crm_id = register_crm(stage, f"stranger {number}").json["crmId"]
        method, pattern = act
        path = pattern.format(path=f"/api/v1/crms/{crm_id}", id=crm_id)
        stage.call(method, path, {"device_ids": ["phone-1"]}, stage.operator_key)
        shown = stage.call("GET", f"/api/v1/crms/{crm_id}", key=stage.operator_key).json
        assert (shown["approved"], shown["device_ids"]) == (True, ["phone-1"])


@pytest.mark.parametrize(
    "name",
    ["clinic", "Clinic", "CLINIC ", "cl-inic", "ｃｌｉｎｉｃ", "clínic", "gone", "Gone", "сlinic"],
)
def test_a_crm_that_registers_itself_takes_no_name_that_reads_like_anothers(
    stage: Stage, name: str
):
    open_both(stage)
    crm_id, _ = stage.world.add_crm("gone")
    with stage.world.database.transaction() as session:
        crms.remove(session, crms.get(session, crm_id), NOW)
    assert register_crm(stage, name).status_code in (409, 422)


def test_no_crm_is_called_like_anothers_id(stage: Stage):
    open_both(stage)
    for key in (None, stage.operator_key):
        assert register_crm(stage, stage.world.crm_id, key).status_code == 422
        assert register_crm(stage, f"crm_{'0' * 32}", key).status_code == 422


def test_a_device_that_registered_itself_gets_nothing_before_it_is_approved(
    stage: Stage, stranger: str, gateway: str
):
    for key in (stage.world.crm_key, stage.crm_key):
        assert send(stage, key).status_code == 202
        for device_id in ("stranger", "gateway"):
            assert send(stage, key, device_id=device_id).status_code == 422
    for device_id, secret in (("stranger", stranger), ("gateway", gateway)):
        refused = poll(stage, device_id, secret)
        assert (refused.status_code, refused.json["code"]) == (403, "device_waiting")
    assert stage.call("GET", f"/ws?token={stranger}").status_code == 403
    names_of_all = names(stage, stage.world.crm_key) + names(stage, stage.crm_key)
    assert not {"stranger", "gateway"} & set(names_of_all)


def test_a_device_that_registered_itself_brings_nothing_to_anybody_before_it_is_approved(
    stage: Stage, stranger: str, gateway: str
):
    for device_id, secret in (("stranger", stranger), ("gateway", gateway)):
        poll(stage, device_id, secret, messages=[SMS])
        sms = {"phone_number": "+12025550178", "message_body": "forged"}
        refused = stage.call("POST", "/api/v1/gateway/sms/received", sms, secret)
        assert (refused.status_code, refused.json["success"]) == (403, False)
    for key in (stage.world.crm_key, stage.crm_key):
        assert messages(stage, key) == []
        assert stage.call("GET", "/api/v1/events", key=key).json["data"] == []


def test_the_stock_app_shows_a_fitting_text_to_who_waits(stage: Stage, stranger: str):
    headers = {"Authorization": f"Bearer {stranger}"}
    assert stage.world.client.get("/api/sms", headers=headers).status_code == 401


def test_an_approved_device_is_let_in(stage: Stage, stranger: str, gateway: str):
    send(stage, stage.world.crm_key)
    approve = "/api/v1/devices/{}/approve"
    for key in (None, stage.crm_key, stage.token, stranger):
        assert stage.call("POST", approve.format("gateway"), key=key).status_code in (401, 403)
    answer = stage.call("POST", approve.format("gateway"), key=stage.operator_key)
    assert (answer.status_code, answer.json["approved"], answer.json["crm"]) == (200, True, None)
    assert len(poll(stage, "gateway", gateway).json["messages"]) == 1
    assert poll(stage, "stranger", stranger).status_code == 403
    assert stage.call("POST", approve.format("nobody"), key=stage.operator_key).status_code == 404


def test_only_an_approved_crm_gets_a_device_that_nobody_claims_and_only_with_its_approval(
    stage: Stage,
):
    open_both(stage)
    with stage.world.database.transaction() as session:
        for crm_id in (stage.world.crm_id, stage.crm_id):
            crms.remove(session, crms.get(session, crm_id), NOW)
    intruder = register_crm(stage, "intruder").json["apiKey"]
    register(stage, "new")
    register(stage, "added", stage.operator_key)
    stage.call("POST", "/api/v1/devices/new/approve", key=stage.operator_key)
    assert names(stage, intruder) == []
    known = register_crm(stage, "known", stage.operator_key).json["apiKey"]
    register(stage, "newer")
    register(stage, "added-later", stage.operator_key)
    assert names(stage, known) == ["added-later"]
    stage.call("POST", "/api/v1/devices/newer/approve", key=stage.operator_key)
    assert names(stage, known) == ["added-later", "newer"]
    assert names(stage, intruder) == []


@pytest.mark.parametrize("name", ["phone-1", "PHONE-1", "12345", "gone", "Gone"])
def test_a_stranger_takes_no_name_that_is_or_was_there(stage: Stage, name: str):
    open_both(stage)
    stage.world.add_device("gone")
    with stage.world.database.transaction() as session:
        enrolment.remove(session, registry.get(session, "gone"), NOW)
    assert register(stage, name).status_code == 409
    answer = stage.call("POST", GATEWAY, {"device_id": name, "name": "mine"})
    assert (answer.status_code, answer.json["error"]) == (400, "Device ID already exists")
    assert stage.device().opened() == [], "the token is still good"


def test_a_waiting_devices_name_is_free_for_nobody_and_goes_with_its_removal(
    stage: Stage, stranger: str
):
    added = stage.call("POST", "/api/v1/devices", {"device_id": "stranger"}, stage.operator_key)
    assert (added.status_code, "approve or remove it" in added.json["message"]) == (409, True)
    assert register(stage, "stranger", stage.crm_key).status_code == 409
    removed = stage.call("DELETE", "/api/v1/devices/stranger", key=stage.operator_key)
    assert removed.status_code == 204
    assert poll(stage, "stranger", stranger).status_code == 401
    added = stage.call("POST", "/api/v1/devices", {"device_id": "stranger"}, stage.operator_key)
    assert added.status_code == 201


def test_a_new_token_for_a_waiting_device_approves_nothing_unless_an_operator_asks_for_it(
    stage: Stage, stranger: str
):
    renewed = register(stage, "stranger", stranger).json["token"]
    assert poll(stage, "stranger", renewed).status_code == 403
    token = register(stage, "stranger", stage.operator_key).json["token"]
    assert poll(stage, "stranger", renewed).status_code == 401
    assert poll(stage, "stranger", token).status_code == 200


def test_strangers_that_wait_are_so_many_at_most(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    open_both(stage)
    monkeypatch.setattr(ownership, "MOST_WAITING", 2)
    monkeypatch.setattr(crms, "MOST_WAITING", 1)
    assert [register(stage, f"d{number}").status_code for number in range(3)] == [201, 201, 403]
    answer = stage.call("POST", GATEWAY, {"device_id": "d9", "name": "mine"})
    assert (answer.status_code, answer.json["success"]) == (403, False)
    assert [register_crm(stage, name).status_code for name in ("a", "b")] == [201, 403]


def test_operators_see_who_waits(stage: Stage, stranger: str):
    shown = stage.call("GET", "/api/v1/devices", key=stage.operator_key).json["data"]
    assert {one["device_id"]: one["approved"] for one in shown} == {
        "12345": True,
        "phone-1": True,
        "stranger": False,
    }
    found = findings(stage)["device stranger"]
    assert found.state == "warning"
    assert "device approve stranger" in found.advice


def findings(stage: Stage) -> dict[str, Any]:
    with stage.world.database.reading() as session:
        found = callers.findings(session, stage.world.settings, NOW, registry.everyone(session))
    return {finding.check: finding for finding in found}
