"""Numbers that want no more messages: how they come on a CRM's list and off it, and that nothing goes to them."""

from typing import Any

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.messages import queueing
from smsgw.core.messages.drafts import Draft
from smsgw.store.models import Crm, OptOut

from ..conftest import NOW
from ..purging import purge
from .conftest import DRAFT, NUMBER, Api

OTHER = "+12025550188"


def listed(api: Api, headers: dict[str, str] | None = None, **query: Any) -> list[str]:
    answer = api.get("/opt-outs", headers, **query)
    assert answer.status_code == 200, answer.text
    return [row["number"] for row in answer.json["data"]]


def put(api: Api, number: str = NUMBER, **more: Any) -> Any:
    return api.post("/opt-outs", {"number": number, **more})


def queue_unasked(api: Api, number: str = NUMBER) -> str:
    """Queues a message whose recipient was not on the list when its transaction began."""
    with api.world.database.transaction() as session:
        session.execute(sa.delete(OptOut))
        crm = crms.get(session, api.world.crm_id)
        draft = Draft(to=number, content="late")
        taken = queueing.queue_one(session, crm, api.world.settings, draft, clock.now())
    return taken.message.id


def events_of(api: Api, *kinds: str) -> list[dict[str, Any]]:
    return [one for one in api.get("/events").json["data"] if one["type"] in kinds]


def test_stop_in_an_inbound_message_opts_the_sender_out_of_the_crm_that_gets_it(api: Api):
    api.receive("1", NUMBER, " Stop. ")
    (row,) = api.get("/opt-outs").json["data"]
    (inbound,) = api.get("/messages", direction="inbound").json["data"]
    assert row == {
        "number": NUMBER,
        "note": None,
        "source": "sms",
        "message_id": inbound["id"],
        "created_at": row["created_at"],
    }
    assert inbound["content"] == " Stop. "
    refused = api.post("/messages", DRAFT)
    assert (refused.status_code, refused.json["code"]) == (422, "opted_out")
    assert list(refused.json["details"]) == ["to"]
    kinds = [one["type"] for one in api.get("/events").json["data"]]
    assert kinds == ["message.received", "opt_out.added"]


def test_start_takes_the_sender_off_the_list(api: Api):
    api.receive("1", NUMBER, "STOP")
    api.receive("2", NUMBER, "start")
    assert listed(api) == []
    assert api.post("/messages", DRAFT).status_code == 202
    added, removed = events_of(api, "opt_out.added", "opt_out.removed")
    assert added["data"]["message_id"] != removed["data"]["message_id"]
    assert removed["data"]["number"] == NUMBER


def test_a_stop_that_the_phone_repeats_after_a_start_counts_once(api: Api):
    api.receive("1", NUMBER, "STOP")
    api.receive("2", NUMBER, "START")
    api.receive("1", NUMBER, "STOP")
    assert listed(api) == []


def test_of_two_words_in_one_poll_the_later_one_counts(api: Api):
    def item(key: str, content: str, received: int) -> dict[str, Any]:
        return {"id": key, "from": NUMBER, "content": content, "sms_received": received}

    api.poll([item("1", "START", 1772366460000), item("2", "STOP", 1772366400000)])
    assert listed(api) == []
    api.poll([item("3", "START", 1772366470000), item("4", "STOP", 1772366480000)])
    assert listed(api) == [NUMBER]


@pytest.mark.parametrize("sender", ["MPESA", "40404", "123456", "", "*100#"])
def test_names_and_short_codes_do_not_opt_out(api: Api, sender: str):
    api.receive("1", sender, "STOP")
    assert listed(api) == []
    assert api.post("/messages", {**DRAFT, "to": "40404"}).status_code == 202


def test_a_stop_counts_for_each_crm_that_gets_the_message_and_for_no_other(api: Api):
    _, sharing_key = api.world.add_crm("sharing", ["phone-1"])
    api.world.add_device("phone-2")
    _, other_key = api.world.add_crm("other", ["phone-2"])
    sharing, other = api.world.as_crm(sharing_key), api.world.as_crm(other_key)
    api.receive("1", NUMBER, "STOP")
    assert listed(api) == listed(api, sharing) == [NUMBER]
    assert listed(api, other) == []
    assert api.post("/messages", DRAFT, sharing).json["code"] == "opted_out"
    assert api.post("/messages", DRAFT, other).status_code == 202
    of_all = api.get("/opt-outs", api.operator).json["data"]
    assert sorted(row["crm"] for row in of_all) == ["clinic", "sharing"]
    assert listed(api, api.operator, crm="sharing") == [NUMBER]
    assert listed(api, api.operator, crm="other") == []


def test_each_crm_has_its_own_words(api: Api):
    _, key = api.world.add_crm("sharing", ["phone-1"])
    changed = api.call(
        "PATCH",
        f"/crms/{api.world.crm_id}",
        api.operator,
        json={"stop_words": ["Genug"], "start_words": ["Weiter"]},
    )
    assert changed.json["stop_words"] == ["Genug"]
    api.receive("1", NUMBER, "STOP")
    assert (listed(api), listed(api, api.world.as_crm(key))) == ([], [NUMBER])
    api.receive("2", NUMBER, "genug!")
    assert listed(api) == [NUMBER]
    api.receive("3", NUMBER, "WEITER")
    assert listed(api) == []


def test_words_can_be_switched_off_and_set_back_to_the_defaults(api: Api):
    path = f"/crms/{api.world.crm_id}"
    assert "ARRET" in api.get(path, api.operator).json["stop_words"]
    off = api.call("PATCH", path, api.operator, json={"stop_words": []})
    assert off.json["stop_words"] == []
    api.receive("1", NUMBER, "STOP")
    assert listed(api) == []
    back = api.call("PATCH", path, api.operator, json={"stop_words": None})
    assert "STOP" in back.json["stop_words"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"stop_words": ["START"]},
        {"stop_words": ["x"], "start_words": [" X. "]},
        {"stop_words": ["..."]},
        {"stop_words": [""]},
        {"stop_words": "STOP"},
        {"start_words": ["x" * 101]},
        {"loop_guard": -1},
    ],
)
def test_words_that_cannot_work_are_refused(api: Api, wrong: dict[str, Any]):
    answer = api.call("PATCH", f"/crms/{api.world.crm_id}", api.operator, json=wrong)
    assert answer.status_code == 422
    assert set(answer.json["details"]) & set(wrong)


def test_what_is_queued_for_a_number_fails_when_it_opts_out_and_what_a_phone_has_is_left_alone(
    api: Api,
):
    handed_out = api.send(content="first")
    (dispatched,) = api.poll()
    waiting = [
        api.send(content="second"),
        api.send(content="later", send_at="2030-01-01T00:00:00Z"),
    ]
    stranger = api.send(to=OTHER)
    api.receive("1", NUMBER, "STOP")
    for message_id in waiting:
        message = api.get(f"/messages/{message_id}").json
        assert (message["status"], message["reason"]) == ("failed", "opted_out")
        assert message["reason_class"] == "permanent"
        assert message["history"][-1]["reason"] == "opted_out"
        assert message["waiting_for"] is None
    failed = {one["data"]["id"] for one in events_of(api, "message.failed")}
    assert failed == set(waiting)
    assert api.get(f"/messages/{handed_out}").json["status"] == "dispatched"
    assert api.get(f"/messages/{stranger}").json["status"] in ("queued", "dispatched")
    api.poll(updates=[{"id": dispatched["id"], "status": "SENT"}])
    assert api.get(f"/messages/{handed_out}").json["status"] == "sent"


def test_the_poll_that_brings_the_stop_is_handed_nothing_for_its_sender(api: Api):
    message_id = api.send()
    stop = {"id": "1", "from": NUMBER, "content": "STOP"}
    assert api.poll([stop]) == []
    assert api.get(f"/messages/{message_id}").json["status"] == "failed"


def test_a_message_that_slipped_into_the_queue_fails_when_it_would_be_handed_out(api: Api):
    message_id = queue_unasked(api)
    with api.world.database.transaction() as session:
        session.add(
            OptOut(
                id="opt_1",
                crm_id=api.world.crm_id,
                number=NUMBER,
                bare_number=NUMBER[1:],
                source="api",
                created_at=NOW,
            )
        )
    other = api.send(to=OTHER)
    handed_out = api.poll()
    assert [one["to"] for one in handed_out] == [OTHER]
    message = api.get(f"/messages/{message_id}").json
    assert (message["status"], message["reason"], message["dispatches"]) == (
        "failed",
        "opted_out",
        [],
    )
    assert api.get(f"/messages/{other}").json["status"] == "dispatched"
    assert [one["data"]["id"] for one in events_of(api, "message.failed")] == [message_id]


@pytest.mark.parametrize("spelling", ["12025550123", "+1 (202) 555-0123", "001 202 555 0123"])
def test_a_number_is_the_same_with_and_without_plus_and_in_any_spelling(api: Api, spelling: str):
    waiting = api.send(to=spelling)
    assert put(api, NUMBER).status_code == 201
    assert api.get(f"/messages/{waiting}").json["reason"] == "opted_out"
    assert api.post("/messages", {**DRAFT, "to": spelling}).json["code"] == "opted_out"
    assert put(api, spelling).status_code == 200
    assert len(listed(api)) == 1
    assert api.call("DELETE", f"/opt-outs/{spelling}").status_code == 204
    assert listed(api) == []


def test_a_crm_keeps_its_list_by_hand(api: Api):
    made = put(api, "+1 202 555 0123", note="asked on the phone")
    assert made.status_code == 201
    assert made.headers["Location"].endswith(f"/api/v1/opt-outs/{NUMBER}")
    assert made.json["note"] == "asked on the phone"
    assert made.json["source"] == "api"
    assert put(api, note="asked twice").json["note"] == "asked twice"
    assert put(api).json["note"] == "asked twice"
    assert api.get(f"/opt-outs/{NUMBER}").json["number"] == NUMBER
    assert api.get("/opt-outs/%2B12025550123").json["number"] == NUMBER
    assert api.call("DELETE", f"/opt-outs/{NUMBER}").status_code == 204
    assert api.call("DELETE", f"/opt-outs/{NUMBER}").status_code == 404
    assert api.get(f"/opt-outs/{NUMBER}").status_code == 404
    kinds = [one["type"] for one in events_of(api, "opt_out.added", "opt_out.removed")]
    assert kinds == ["opt_out.added", "opt_out.removed"]


@pytest.mark.parametrize("number", ["nobody", "", "+49 30 1 and 2", 12025550123, None])
def test_what_is_no_number_cannot_opt_out(api: Api, number: Any):
    answer = api.post("/opt-outs", {"number": number})
    assert (answer.status_code, list(answer.json["details"])) == (422, ["number"])
    assert api.call("DELETE", "/opt-outs/nobody").status_code == 422


def test_the_list_comes_in_pages_and_none_is_missed(api: Api):
    numbers = [f"+120255501{n:02}" for n in range(7)]
    for number in numbers:
        put(api, number)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get("/opt-outs", limit=3, **cursor).json
        found += [row["number"] for row in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == numbers[::-1]
    assert listed(api, number=numbers[3]) == [numbers[3]]
    assert api.get("/opt-outs", cursor="x").status_code == 422


def test_an_operator_reads_lists_and_changes_none(api: Api):
    put(api)
    assert api.post("/opt-outs", {"number": OTHER}, api.operator).status_code == 401
    assert api.call("DELETE", f"/opt-outs/{NUMBER}", api.operator).status_code == 401


def test_of_a_batch_the_rows_are_named_and_nothing_is_queued(api: Api):
    put(api)
    rows = [{**DRAFT, "to": OTHER}, DRAFT, {**DRAFT, "to": OTHER}]
    answer = api.post("/messages/batch", {"messages": rows})
    assert (answer.status_code, answer.json["code"]) == (422, "opted_out")
    assert list(answer.json["details"]["messages"]) == ["1"]
    assert "opted_out" in answer.json["details"]["messages"]["1"]["to"][0]
    assert api.get("/messages").json["data"] == []
    mixed = api.post("/messages/batch", {"messages": [{**DRAFT, "to": "nobody"}, DRAFT]})
    assert mixed.json["code"] == "invalid"
    assert list(mixed.json["details"]["messages"]) == ["0", "1"]


def test_a_preview_says_that_the_number_has_opted_out(api: Api):
    put(api)
    assert api.post("/messages/preview", DRAFT).json["code"] == "opted_out"


def test_a_repeated_reference_gets_its_message_also_after_the_number_opted_out(api: Api):
    draft = {**DRAFT, "reference": "visit-1"}
    made = api.post("/messages", draft).json["id"]
    put(api)
    again = api.post("/messages", draft)
    assert (again.status_code, again.json["id"]) == (200, made)
    assert again.json["reason"] == "opted_out"
    fresh = api.post("/messages", {**DRAFT, "reference": "visit-2"})
    assert fresh.json["code"] == "opted_out"


def test_a_resend_is_refused_while_the_number_is_on_the_list(api: Api):
    message_id = api.send()
    put(api)
    refused = api.post(f"/messages/{message_id}/resend")
    assert (refused.status_code, refused.json["code"]) == (422, "opted_out")
    api.call("DELETE", f"/opt-outs/{NUMBER}")
    assert api.post(f"/messages/{message_id}/resend").status_code == 202
    assert [one["to"] for one in api.poll()] == [NUMBER]


def test_a_mysmsapio_client_and_the_websocket_apis_rest_call_are_refused_in_their_own_words(
    api: Api,
):
    put(api)
    world = api.world
    plain = world.client.post(
        "/api/v1/sms/send", json={"to": NUMBER, "message": "hi"}, headers=api.crm
    )
    assert plain.status_code == 422
    assert plain.json == {"success": False, "error": "Recipient has opted out"}
    body = {"deviceId": "phone-1", "receiver": NUMBER, "content": "hi"}
    refused = world.client.post("/sendMessage", json=body, headers=api.crm)
    assert (refused.status_code, refused.json["code"]) == (422, "opted_out")
    assert list(refused.json["details"]) == ["receiver"]


def test_retention_keeps_opt_outs(api: Api):
    api.receive("1", NUMBER, "STOP")
    with api.world.database.transaction() as session:
        settings = api.world.settings
        object.__setattr__(settings, "retention_days", 1)
        later = NOW.replace(year=2090)
        while purge(session, settings, later):
            pass
    assert listed(api) == [NUMBER]
    assert api.get("/messages", direction="inbound").json["data"][0]["content"] is None


def test_a_disabled_crm_is_told_to_stop_all_the_same(api: Api):
    with api.world.database.transaction() as session:
        session.execute(sa.update(Crm).values(enabled=False))
    api.receive("1", NUMBER, "STOP")
    assert listed(api, api.operator) == [NUMBER]
