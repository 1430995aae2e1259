"""`Idempotency-Key` and references: a request that was made once acts no second time, also when two come at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import idempotency
from smsgw.store.models import IdempotentRequest

from .conftest import DRAFT, Api


def _keyed(api: Api, key: str = "k-1", headers=None):
    return {**(headers or api.crm), "Idempotency-Key": key}


def _at_once(count: int, act):
    """What `act(number)` returned in each of `count` threads that began together."""
    barrier = Barrier(count)

    def begin(number: int):
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def _count(api: Api) -> int:
    return len(api.get("/messages").json["data"])


def test_a_repeat_gets_the_same_answer_and_queues_nothing(api: Api):
    first = api.post("/messages", DRAFT, _keyed(api))
    again = api.post("/messages", DRAFT, _keyed(api))
    assert again.status_code == first.status_code == 202
    assert again.get_data() == first.get_data()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert _count(api) == 1


def test_the_first_answer_is_given_again_although_the_message_went_on(api: Api):
    api.post("/messages", DRAFT, _keyed(api))
    api.poll()
    assert api.post("/messages", DRAFT, _keyed(api)).json["status"] == "queued"


def test_the_order_of_fields_and_blanks_make_no_other_body(api: Api):
    api.post("/messages", DRAFT, _keyed(api))
    text = '{ "content": "hello",\n "to": "+12025550123" }'
    answer = api.call("POST", "/messages", _keyed(api), data=text)
    assert answer.status_code == 202
    assert _count(api) == 1


def test_another_body_under_the_same_key_is_a_conflict(api: Api):
    api.post("/messages", DRAFT, _keyed(api))
    answer = api.post("/messages", {**DRAFT, "content": "other"}, _keyed(api))
    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_key_used")
    assert _count(api) == 1


def test_another_url_under_the_same_key_is_a_conflict(api: Api):
    message_id = api.post("/messages", DRAFT, _keyed(api)).json["id"]
    answer = api.post(f"/messages/{message_id}/resend", {}, _keyed(api))
    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_key_used")


def test_another_key_is_another_request(api: Api):
    api.post("/messages", DRAFT, _keyed(api, "a"))
    api.post("/messages", DRAFT, _keyed(api, "b"))
    assert _count(api) == 2


def test_two_callers_may_use_the_same_key(api: Api):
    _, key = api.world.add_crm("other")
    first = api.post("/messages", DRAFT, _keyed(api))
    second = api.post("/messages", DRAFT, _keyed(api, headers=api.world.as_crm(key)))
    assert first.json["id"] != second.json["id"]


def test_what_failed_is_not_kept(api: Api):
    assert api.post("/messages", {**DRAFT, "device_id": "phone-2"}, _keyed(api)).status_code == 422
    api.world.add_device("phone-2")
    again = api.post("/messages", {**DRAFT, "device_id": "phone-2"}, _keyed(api))
    assert again.status_code == 202


def test_a_key_is_forgotten_after_a_day_also_without_the_worker(api: Api):
    api.post("/messages", DRAFT, _keyed(api))
    with api.world.database.transaction() as session:
        old = clock.now() - idempotency.LASTS - timedelta(seconds=1)
        session.execute(sa.update(IdempotentRequest).values(created_at=old))
    assert api.post("/messages", {**DRAFT, "content": "other"}, _keyed(api)).status_code == 202


@pytest.mark.parametrize("key", ["", " ", "ä", "a b", "x" * 256])
def test_a_key_that_is_none_is_refused(api: Api, key):
    answer = api.post("/messages", DRAFT, _keyed(api, key))
    assert (answer.status_code, answer.json["code"]) == (400, "bad_idempotency_key")


@pytest.mark.parametrize(
    ("path", "body", "status", "secret"),
    [
        ("/devices", {"device_id": "phone-9"}, 201, "password"),
        ("/crms", {"name": "other"}, 201, "api_key"),
        ("/devices/phone-1/rotate", {}, 200, "password"),
        ("/crms/clinic/rotate", None, 200, "api_key"),
    ],
)
def test_a_secret_is_never_kept_and_a_repeat_says_that_it_was_shown(
    api: Api, path, body, status, secret
):
    first = api.post(path, body, _keyed(api, headers=api.operator))
    assert first.status_code == status, first.text
    again = api.post(path, body, _keyed(api, headers=api.operator))
    assert (again.status_code, again.json["code"]) == (409, "secret_shown_once")
    with api.world.database.reading() as session:
        (row,) = session.scalars(sa.select(IdempotentRequest)).all()
    assert row.body is None
    assert first.json[secret] not in str(vars(row))


def test_of_two_at_once_under_one_key_one_acts_and_both_get_its_answer(api: Api):
    answers = _at_once(4, lambda _: api.post("/messages", DRAFT, _keyed(api)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_data() for answer in answers}) == 1
    assert _count(api) == 1


def test_two_at_once_with_one_reference_make_one_message(api: Api):
    draft = {**DRAFT, "reference": "r"}
    answers = _at_once(4, lambda _: api.post("/messages", draft))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 202]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert _count(api) == 1


def test_two_batches_at_once_with_the_same_references_in_other_orders_do_not_deadlock(api: Api):
    drafts = [{**DRAFT, "reference": f"r-{number}"} for number in range(50)]

    def post(number: int):
        return api.post("/messages/batch", {"messages": drafts[:: 1 if number % 2 else -1]})

    answers = _at_once(4, post)
    assert {answer.status_code for answer in answers} == {202}
    assert len({shown["id"] for answer in answers for shown in answer.json["data"]}) == 50
