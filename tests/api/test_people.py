"""What people see and do over REST: viewers no whole numbers, clerks for the CRMs that are theirs."""

import pytest

from smsgw.core.accounts import operators
from smsgw.core.accounts.roles import CLERK, VIEWER

from ..conftest import NOW
from .conftest import NUMBER, Api

NUMBERS = (NUMBER, "+12025550199", "+4915112345678")


def person(api: Api, role: str, crm_names: list[str] | None = None) -> dict[str, str]:
    with api.world.database.transaction() as session:
        key = operators.add(session, f"{role} {crm_names}", NOW, role, crm_names)
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "path",
    ["/messages", "/messages/{id}", "/opt-outs", "/events", "/devices", "/devices/phone-1", "/deliveries/{delivery}"],
)  # fmt: skip
def test_a_viewer_sees_no_whole_number_anywhere(api: Api, path):
    message_id = api.send(content=f"call {NUMBER}")
    api.receive("in-1", content=f"mine is {NUMBER}")
    api.post("/opt-outs", {"number": "+12025550199", "note": f"asked by {NUMBER}"})
    hook = api.post("/webhooks", {"url": "https://8.8.8.8/hook"}).json["id"]
    delivery = api.post(f"/webhooks/{hook}/test").json["id"]
    path = path.format(id=message_id, delivery=delivery)
    whole, seen = api.get(path, api.operator), api.get(path, person(api, VIEWER))
    assert (whole.status_code, seen.status_code) == (200, 200)
    assert not [number for number in NUMBERS if number in seen.text]
    assert [*whole.json] == [*seen.json]
    if path == "/messages":
        assert {one["id"] for one in seen.json["data"]} == {one["id"] for one in whole.json["data"]}


def test_a_clerk_sends_for_the_only_crm_and_names_it_where_there_are_several(api: Api):
    other_id, _ = api.world.add_crm("other")
    one, several = person(api, CLERK, ["other"]), person(api, CLERK)
    draft = {"to": NUMBER, "content": "hi"}
    made = api.post("/messages", draft, one)
    assert made.status_code == 202
    shown = api.get(f"/messages/{made.json['id']}", api.operator).json
    assert shown["crm_id"] == other_id
    refused = api.post("/messages", draft, several)
    assert (refused.status_code, list(refused.json["details"])) == (422, ["crm"])
    assert api.post("/messages?crm=clinic", draft, several).status_code == 202
    assert api.post("/messages?crm=clinic", draft, one).status_code == 404
    assert [crm["name"] for crm in api.get("/crms", one).json["data"]] == ["other"]


def test_what_a_clerk_changes_is_the_clerks_in_the_audit(api: Api):
    clerk = person(api, CLERK, ["clinic"])
    api.post("/opt-outs", {"number": "+12025550199"}, clerk)
    (entry,) = api.get("/audit", api.operator, action="opt_out.add").json["data"]
    assert (entry["actor_kind"], entry["actor_name"]) == ("operator", "clerk ['clinic']")


def test_a_clerk_who_loses_a_crm_reads_nothing_of_it_any_more(api: Api):
    message_id = api.send()
    clerk = person(api, CLERK, ["clinic"])
    assert api.get(f"/messages/{message_id}", clerk).status_code == 200
    with api.world.database.transaction() as session:
        operators.assign(session, operators.get(session, "clerk ['clinic']"), [])
    assert api.get(f"/messages/{message_id}", clerk).status_code == 422
    assert api.get("/messages", clerk).status_code == 422
