"""Inbound SMS: kept once, for ever, and one bad item never stops its neighbours."""

import json
import threading
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from smsgw.core.accounts import enrolment
from smsgw.core.devices import registry
from smsgw.store.db import Database

from ..conftest import NOW
from ..purging import purge
from .conftest import sms


def test_an_sms_is_kept_and_told_before_the_answer(stage):
    item = sms("Grüße 👋")
    assert stage.poll([item]) == []
    (kept,) = stage.inbox()
    assert (kept.content, kept.from_number, kept.device_id) == (
        "Grüße 👋",
        "+4915198765432",
        "phone-1",
    )
    assert kept.to_number == "+4915112345678"
    (event,) = stage.bodies()
    assert event["type"] == "message.received"
    assert event["data"]["received_at"] == "2026-03-01T12:00:00.000Z"
    assert event["data"]["device_received_at"] == "2026-03-01T12:00:00.000Z"
    assert event["data"]["sms_sent_at"] == "2026-03-01T11:59:59.000Z"


def test_an_id_comes_in_once_for_ever_and_the_first_content_stays(stage):
    item = sms("first")
    stage.poll([item])
    stage.pass_time(days=400)
    stage.poll([{**item, "content": "second", "from": "+4915100000000"}])
    (kept,) = stage.inbox()
    assert kept.content == "first"
    assert stage.events() == ["message.received"]


def test_two_equal_ids_in_one_batch_give_one_message_the_first(stage):
    item = sms("first")
    stage.poll([item, {**item, "content": "second"}, sms("other")])
    assert [kept.content for kept in stage.inbox()] == ["first", "other"]


def test_a_batch_keeps_its_order(stage):
    stage.poll([sms(str(number)) for number in range(100)])
    assert [kept.content for kept in stage.inbox()] == [str(number) for number in range(100)]


def test_a_uuid_counts_across_devices_in_either_case(stage):
    other = stage.world.add_device("phone-2")
    item = sms("once", id="3E105262-070C-4913-949B-E7ACA4F42B71")
    stage.poll([item])
    stage.poll([{**item, "id": item["id"].lower()}], headers=other)
    assert len(stage.inbox()) == 1


def test_other_ids_count_per_device(stage):
    other = stage.world.add_device("phone-2")
    stage.poll([sms(id="17")])
    stage.poll([sms(id="17")], headers=other)
    stage.poll([sms(id="17")])
    assert [kept.device_id for kept in stage.inbox()] == ["phone-1", "phone-2"]


def test_a_phone_that_was_registered_anew_brings_nothing_twice(stage):
    batch = [sms(id="17"), sms("with a uuid")]
    stage.poll(batch)
    with stage.world.database.transaction() as session:
        enrolment.remove(session, registry.get(session, "phone-1"), NOW)
        _, password = enrolment.add_with_password(session, "phone-1", None, None, NOW)
    stage.poll(batch, headers=stage.world.as_device(password=password))
    assert len(stage.inbox()) == 2


def test_two_overlapping_polls_with_the_same_batch_give_one_message_each(stage):
    other = stage.world.add_device("phone-2")
    batch = [sms(str(number)) for number in range(10)]
    headers = [stage.world.as_device(), other, stage.world.as_device(), other]
    barrier = threading.Barrier(len(headers))
    answers = []

    def poll(own, items):
        barrier.wait()
        answers.append(stage.post({"messages": items, "updates": []}, own).status_code)

    threads = [
        threading.Thread(target=poll, args=(own, batch if number % 2 else batch[::-1]))
        for number, own in enumerate(headers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert sorted(kept.content for kept in stage.inbox()) == [str(number) for number in range(10)]
    assert stage.events() == ["message.received"] * 10


def test_all_crms_that_may_use_the_device_are_told_and_no_other(stage):
    stage.world.add_device("phone-2")
    both, _ = stage.world.add_crm("both", ["phone-1", "phone-2"])
    stage.world.add_crm("only-2", ["phone-2"])
    stage.poll([sms()])
    with stage.world.database.reading() as session:
        from smsgw.store.models import Event

        receivers = {event.crm_id for event in session.query(Event)}
    assert receivers == {stage.world.crm_id, both}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"missing_fields": True}, "id"),
        ({**sms(), "id": None}, "id"),
        ({**sms(), "id": 5}, "id"),
        ({**sms(), "id": ""}, "id"),
        ({**sms(), "id": "x" * 37}, "id"),
        ({**sms(), "id": "x" * 1_000_000}, "id"),
        ({**sms(), "content": 5}, "content"),
        ({**sms(), "content": "x" * 65537}, "64 KiB"),
        ({**sms(), "from": ["+49"]}, "sender"),
        ({**sms(), "from": "x" * 101}, "sender"),
        (None, "object"),
        (5, "object"),
        ("text", "object"),
        ([], "object"),
    ],
)
def test_a_bad_item_goes_into_quarantine_and_its_neighbours_come_in(stage, bad, reason):
    batch = [sms("before"), bad, sms("after")]
    stage.poll(batch)
    stage.poll(batch)
    assert [kept.content for kept in stage.inbox()] == ["before", "after"]
    (aside,) = stage.quarantined()
    assert reason in aside.reason
    assert aside.device_id == "phone-1"


def test_the_quarantine_is_emptied_of_what_is_older_than_the_retention_time(stage):
    settings = replace(stage.world.settings, retention_days=30)
    stage.poll([{"id": "old", "content": 1}])
    stage.pass_time(days=20)
    stage.poll([{"id": "new", "content": 2}])
    for days, left in ((9, 2), (11, 1), (60, 0)):
        with stage.world.database.transaction() as session:
            purge(session, settings, NOW + timedelta(days=20 + days))
        assert len(stage.quarantined()) == left


def test_what_is_quarantined_is_kept_raw(stage):
    raw = r'{"id": "", "content": "Gr\u00fc\u00dfe \ud83d \u0000", "extra": [1, {"a": null}]}'
    stage.world.client.post(
        "/api/sms", data=f'{{"messages": [{raw}]}}', headers=stage.world.as_device()
    )
    (aside,) = stage.quarantined()
    assert aside.raw == raw


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("", ""),
        ("null", "null"),
        ("a\0b", "a\ufffdb"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦"),
        ("x" * 65536, "x" * 65536),
    ],
)
def test_any_text_a_phone_can_produce_is_kept(stage, sent, kept):
    stage.poll([sms(sent)])
    assert [message.content for message in stage.inbox()] == [kept]
    assert stage.quarantined() == []


@pytest.mark.parametrize("sender", ["MPESA", "144", "", "+49 151 98765432"])
def test_a_sender_is_kept_as_the_network_gave_it(stage, sender):
    stage.poll([sms(**{"from": sender})])
    (kept,) = stage.inbox()
    assert kept.from_number == ("+4915198765432" if sender.startswith("+49") else sender)


def test_a_missing_sender_is_an_empty_one(stage):
    item = sms()
    del item["from"]
    stage.poll([item, sms(**{"from": None})])
    assert [kept.from_number for kept in stage.inbox()] == ["", ""]


@pytest.mark.parametrize("value", [0, -5, 1e20, "1772366399000", None, float("inf"), True, [1]])
def test_a_time_that_is_none_is_unknown(stage, value):
    body = {"messages": [sms(sms_sent=value, sms_received=value)]}
    stage.post(body)
    (kept,) = stage.inbox()
    assert (kept.sms_sent_at, kept.device_received_at) == (None, None)


def test_a_phone_whose_clock_is_wrong_is_ordered_by_ours(stage):
    stage.poll([sms("first", sms_received=4102444800000)])
    stage.pass_time(seconds=1)
    stage.poll([sms("second", sms_received=946684800000)])
    first, second = stage.inbox()
    assert first.created_at < second.created_at
    assert first.device_received_at > second.device_received_at


def test_a_hundred_messages_in_one_poll_are_taken(stage):
    batch = [sms(str(n), id=f"test-message-{n}", **{"from": f"+447890123{n}"}) for n in range(100)]
    assert stage.poll(batch) == []
    assert len(stage.inbox()) == 100


def test_nothing_is_kept_when_the_transaction_fails(stage, monkeypatch):
    def broken(*_args):
        raise RuntimeError("disk full")

    stage.queue(1)
    monkeypatch.setattr("smsgw.core.messages.handing_out.hand_out_new", broken)
    answer = stage.post({"messages": [sms()], "updates": []})
    assert answer.status_code == 500
    assert answer.json["error"] is True
    assert "disk" not in answer.text
    assert stage.inbox() == []


def test_what_was_answered_is_on_disk(stage):
    stage.poll([sms(id=str(uuid.uuid4()))])
    again = Database(stage.world.settings.database_url)
    with again.reading() as session:
        from smsgw.store.models import Message

        assert session.query(Message).count() == 1
    again.close()


@pytest.mark.parametrize("content", [None, "", "missing"])
def test_an_sms_without_text_is_kept_as_an_empty_one(stage, content):
    item = {**sms(), "content": content}
    if content == "missing":
        del item["content"]
    stage.poll([item])
    assert [kept.content for kept in stage.inbox()] == [""]
    assert stage.quarantined() == []


def test_a_number_longer_than_python_reads_spoils_nothing(stage):
    body = json.dumps({"messages": [{**sms("odd"), "sms_sent": 0}, sms("even")], "updates": []})
    headers = {**stage.world.as_device(), "Content-Type": "application/json"}
    answer = stage.world.client.post(
        "/api/sms", data=body.replace('"sms_sent": 0', f'"sms_sent": {"9" * 5000}'), headers=headers
    )
    assert answer.status_code == 200
    odd, even = stage.inbox()
    assert (odd.content, odd.sms_sent_at, even.content) == ("odd", None, "even")


def test_another_text_under_a_known_id_is_logged_without_the_text(stage, caplog):
    first = sms("first")
    stage.poll([first])
    stage.poll([first])
    assert caplog.text == ""
    stage.poll([{**first, "content": "second"}])
    assert [kept.content for kept in stage.inbox()] == ["first"]
    assert "again with another text" in caplog.text
    assert "second" not in caplog.text
