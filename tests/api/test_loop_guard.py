"""The loop guard: the same text to the same number is queued a few times in half an hour, and no more."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import time_machine

from .conftest import DRAFT, Api

LIMIT = 5


@pytest.fixture
def guarded(api: Api) -> Api:
    """The API of a CRM with the limit it has by default."""
    changed = api.call(
        "PATCH", f"/crms/{api.world.crm_id}", api.operator, json={"loop_guard": None}
    )
    assert changed.json["loop_guard"] == LIMIT
    return api


def statuses(api: Api, count: int, **draft: Any) -> list[int]:
    return [api.post("/messages", {**DRAFT, **draft}).status_code for _ in range(count)]


def test_the_same_text_to_the_same_number_is_refused_after_five_times(guarded: Api):
    assert statuses(guarded, LIMIT) == [202] * LIMIT
    refused = guarded.post("/messages", DRAFT)
    assert (refused.status_code, refused.json["code"]) == (422, "loop_guard")
    assert list(refused.json["details"]) == ["content"]
    assert guarded.post("/messages", {**DRAFT, "content": "hello!"}).status_code == 202
    assert guarded.post("/messages", {**DRAFT, "to": "+12025550188"}).status_code == 202
    without_plus = guarded.post("/messages", {**DRAFT, "to": DRAFT["to"][1:]})
    assert without_plus.json["code"] == "loop_guard"
    assert guarded.post("/messages/preview", DRAFT).json["code"] == "loop_guard"


def test_after_half_an_hour_it_is_queued_again(guarded: Api):
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False) as traveller:
        assert statuses(guarded, 2) == [202] * 2
        traveller.shift(1200)
        assert statuses(guarded, LIMIT) == [202] * 3 + [422] * 2
        traveller.shift(601)
        assert statuses(guarded, 3) == [202] * 2 + [422]


def test_a_crm_may_have_another_limit_or_none(guarded: Api):
    path = f"/crms/{guarded.world.crm_id}"
    guarded.call("PATCH", path, guarded.operator, json={"loop_guard": 1})
    assert statuses(guarded, 2) == [202, 422]
    guarded.call("PATCH", path, guarded.operator, json={"loop_guard": 0})
    assert statuses(guarded, 2 * LIMIT) == [202] * 2 * LIMIT


def test_what_another_crm_sends_does_not_count(guarded: Api):
    _, key = guarded.world.add_crm("other")
    assert statuses(guarded, LIMIT) == [202] * LIMIT
    assert guarded.post("/messages", DRAFT, guarded.world.as_crm(key)).status_code == 202


def test_a_repeat_with_the_same_reference_is_no_new_message(guarded: Api):
    assert statuses(guarded, 2 * LIMIT, reference="a") == [202] + [200] * (2 * LIMIT - 1)
    for name in "bcde":
        assert statuses(guarded, 1, reference=name) == [202]
    assert statuses(guarded, 1, reference="f") == [422]
    assert statuses(guarded, 1, reference="a") == [200]


def test_the_rows_of_one_batch_count_too(guarded: Api):
    rows = [DRAFT] * (LIMIT + 2) + [{**DRAFT, "content": "other"}]
    refused = guarded.post("/messages/batch", {"messages": rows})
    assert (refused.status_code, refused.json["code"]) == (422, "loop_guard")
    assert list(refused.json["details"]["messages"]) == ["5", "6"]
    assert guarded.get("/messages").json["data"] == []
    named = [{**DRAFT, "reference": "a"}] * (LIMIT + 2)
    assert guarded.post("/messages/batch", {"messages": named}).status_code == 202
    assert len(guarded.get("/messages").json["data"]) == 1


def test_a_resend_and_a_repeated_idempotency_key_do_not_count(guarded: Api):
    message_id = guarded.send()
    guarded.call("DELETE", f"/messages/{message_id}")
    headers = {**guarded.crm, "Idempotency-Key": "once"}
    for _ in range(2 * LIMIT):
        assert guarded.post("/messages", DRAFT, headers).status_code == 202
    assert statuses(guarded, LIMIT) == [202] * (LIMIT - 2) + [422] * 2


def test_requests_at_the_same_moment_pass_exactly_as_often(guarded: Api):
    """With a reference and without: they are written in different transactions."""
    drafts = [{**DRAFT, **({"reference": str(n)} if n % 2 else {})} for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda draft: guarded.post("/messages", draft).status_code, drafts))
    assert sorted(answers) == [202] * LIMIT + [422] * (24 - LIMIT)
    assert len(guarded.get("/messages").json["data"]) == LIMIT


def test_a_mysmsapio_client_and_the_websocket_apis_rest_call_are_refused_in_their_own_words(
    guarded: Api,
):
    statuses(guarded, LIMIT)
    client = guarded.world.client
    plain = client.post(
        "/api/v1/sms/send",
        json={"to": DRAFT["to"], "message": DRAFT["content"]},
        headers=guarded.crm,
    )
    assert (plain.status_code, plain.json["success"]) == (422, False)
    assert "too often" in plain.json["error"]
    body = {"deviceId": "phone-1", "receiver": DRAFT["to"], "content": DRAFT["content"]}
    refused = client.post("/sendMessage", json=body, headers=guarded.crm)
    assert (refused.status_code, refused.json["code"]) == (422, "loop_guard")
