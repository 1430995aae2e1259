"""A phone that reached a limit or has no credit: it is paused, tried again, and what it did not send goes on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.core.devices import breaker, registry
from smsgw.core.messages import endings
from smsgw.core.operations import callers
from smsgw.errors import TooMany

from ..conftest import NOW
from .conftest import update
from .test_handing_out import contents, use
from .test_limits import FAST, limit, see, shape, take, waiting_for

LIMIT = "unknown; resultCode=5"


def fail(stage, handed, reason=LIMIT, headers=None):
    """The phone has these messages fail, in one poll; returns what it is handed then."""
    words = ("UNSENT", "PENDING", "FAILED")
    return stage.poll(
        updates=[update(one["id"], word, reason) for one in handed for word in words],
        headers=headers,
    )


def test_one_limit_exceeded_fails_no_message_of_ten(stage):
    other = stage.world.add_device("phone-2")
    use(stage, **FAST)
    message_ids = stage.queue(10)
    handed = stage.poll()
    assert fail(stage, handed) == []
    assert {stage.status(one) for one in message_ids} == {"queued"}
    assert "message.failed" not in stage.events()
    assert len(stage.poll(headers=other)) == 10
    assert stage.history(message_ids[0]) == [
        "queued",
        "dispatched",
        "accepted",
        "sending",
        "failed",
        "queued",
        "dispatched",
    ]


def test_the_history_says_why_it_was_queued_again(stage):
    (message_id,) = stage.queue()
    fail(stage, stage.poll())
    message = stage.message(message_id)
    assert (message.status, message.reason, message.device_id) == ("queued", None, None)
    entries = stage.world.client.get(
        f"/api/v1/messages/{message_id}", headers=stage.world.as_crm()
    ).json["history"]
    assert [entry["reason"] for entry in entries[-2:]] == [
        LIMIT,
        "the phone did not send it, because of its limit on SMS",
    ]


def test_device_limited_is_announced_once_when_the_pause_begins(stage):
    use(stage, **FAST)
    stage.queue(10)
    fail(stage, stage.poll())
    stage.pass_time(minutes=5)
    fail(stage, stage.poll())
    limited = [body for body in stage.bodies() if body["type"] == "device.limited"]
    (event,) = limited
    assert event["data"]["device_id"] == "phone-1"
    assert event["data"]["limited_until"] == "2026-03-01T12:05:00.000Z"
    assert "resultCode=5" in event["data"]["limited_reason"]


def test_after_the_pause_one_message_is_tried_at_a_time_and_a_failure_pauses_for_longer(stage):
    use(stage, **FAST)
    message_ids = stage.queue(10)
    fail(stage, stage.poll())
    assert shape(stage)["limited_until"] == "2026-03-01T12:05:00.000Z"
    stage.pass_time(minutes=4, seconds=59)
    assert stage.poll() == []
    stage.pass_time(seconds=1)
    tried = stage.poll()
    assert len(tried) == 1
    assert stage.poll() == []
    assert fail(stage, tried) == []
    assert shape(stage)["limited_until"] == "2026-03-01T12:15:00.000Z"
    stage.pass_time(minutes=9, seconds=59)
    assert stage.poll() == []
    stage.pass_time(seconds=1)
    tried = stage.poll()
    assert len(tried) == 1
    stage.report(tried[0]["id"], "UNSENT", "PENDING")
    assert stage.poll() == []
    rest = stage.poll(updates=[update(tried[0]["id"], "SENT")])
    assert len(rest) == 9
    assert {stage.status(one) for one in message_ids} == {"sent", "dispatched"}
    assert shape(stage)["limited_until"] is None


def test_a_try_that_is_never_confirmed_is_handed_out_again_alone(stage):
    use(stage, **FAST)
    stage.queue(5)
    fail(stage, stage.poll())
    stage.pass_time(minutes=5)
    tried = stage.poll()
    stage.pass_time(minutes=3)
    assert stage.poll() == tried


def test_a_try_that_fails_for_its_number_is_followed_by_another(stage):
    use(stage, **FAST)
    stage.queue(5)
    fail(stage, stage.poll())
    stage.pass_time(minutes=5)
    tried = stage.poll()
    assert len(fail(stage, tried, "destination.invalid")) == 1


def test_what_the_phone_never_confirmed_waits_for_the_pause_too(stage):
    use(stage, **FAST)
    stage.queue(2)
    first, second = stage.poll()
    fail(stage, [first])
    stage.pass_time(minutes=3)
    assert stage.poll() == []
    stage.pass_time(minutes=3)
    assert len(stage.poll()) == 1
    assert second["id"]


def test_five_failures_without_a_reason_pause_the_phone_and_fail_what_may_have_been_sent(stage):
    use(stage, **FAST)
    message_ids = stage.queue(25)
    handed = stage.poll()
    assert len(fail(stage, handed[:4], "generic; errorCode=38")) == 10
    assert fail(stage, handed[4:5], "generic; errorCode=38") == []
    assert [stage.status(one) for one in message_ids].count("failed") == 5
    assert stage.events().count("device.limited") == 1


def test_a_long_message_fails_because_some_of_its_segments_may_have_been_sent(stage):
    (message_id,) = stage.queue(content="x" * 200)
    fail(stage, stage.poll())
    message = stage.message(message_id)
    assert (message.status, message.reason_class) == ("failed", "limit")
    assert stage.events(message_id)[-1] == "message.failed"


@pytest.mark.parametrize(
    "words",
    [
        ("PENDING", "UNSENT", "PENDING", "FAILED"),
        ("UNSENT", "PENDING", "UNSENT", "PENDING", "FAILED"),
    ],
)
def test_what_the_phone_tried_before_may_have_been_sent_and_fails(stage, words):
    message_id, dispatch_id = stage.send()
    stage.poll(updates=[update(dispatch_id, word, LIMIT) for word in words])
    assert stage.status(message_id) == "failed"


def test_what_failed_once_and_was_tried_again_by_a_person_fails(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="generic; errorCode=1")
    stage.be_quiet()
    stage.poll(
        updates=[update(dispatch_id, word, LIMIT) for word in ("UNSENT", "PENDING", "FAILED")]
    )
    assert stage.status(message_id) == "failed"


def test_what_the_crm_was_told_has_failed_is_not_queued_again(stage):
    message_id, dispatch_id = stage.send()
    stage.pass_time(days=4)
    stage.run_housekeeping()
    assert stage.message(message_id).reason_class == "unconfirmed"
    stage.poll(updates=[update(dispatch_id, "FAILED", LIMIT)])
    assert (stage.status(message_id), stage.message(message_id).reason_class) == ("failed", "limit")


def test_a_message_whose_time_is_over_fails(stage):
    (message_id,) = stage.queue(expires_at=NOW + timedelta(minutes=1))
    handed = stage.poll()
    stage.pass_time(minutes=2)
    fail(stage, handed)
    assert stage.status(message_id) == "failed"


def test_a_message_for_a_phone_its_crm_may_not_use_any_more_fails(stage):
    (message_id,) = stage.queue(device_id="phone-1")
    handed = stage.poll()
    stage.world.add_device("phone-2")
    with stage.world.database.transaction() as session:
        crms.route(session, crms.get(session, "clinic"), ["phone-2"], clock.now())
    fail(stage, handed)
    assert stage.status(message_id) == "failed"


def test_a_message_that_names_its_phone_waits_for_it(stage):
    other = stage.world.add_device("phone-2")
    (message_id,) = stage.queue(device_id="phone-1")
    fail(stage, stage.poll())
    assert stage.poll(headers=other) == []
    assert stage.message(message_id).device_id == "phone-1"
    stage.pass_time(minutes=5)
    assert len(stage.poll()) == 1


def test_what_is_queued_again_keeps_its_place_and_its_end(stage):
    use(stage, **FAST)
    (first,) = stage.queue(content="first")
    before = stage.message(first)
    handed = stage.poll()
    stage.pass_time(minutes=1)
    stage.queue(content="second")
    fail(stage, handed)
    after = stage.message(first)
    assert (after.due_at, after.expires_at) == (before.due_at, before.expires_at)
    stage.pass_time(minutes=5)
    assert contents(stage.poll()) == ["first"]


def test_a_repeat_of_the_report_queues_nothing_twice(stage):
    other = stage.world.add_device("phone-2")
    (message_id,) = stage.queue()
    handed = stage.poll()
    fail(stage, handed)
    fail(stage, handed)
    assert stage.history(message_id).count("queued") == 2
    assert len(stage.poll(headers=other)) == 1
    fail(stage, handed)
    assert stage.status(message_id) == "dispatched"


def test_a_person_who_tries_it_again_on_the_phone_keeps_the_other_phone_from_it(stage):
    other = stage.world.add_device("phone-2")
    (message_id,) = stage.queue()
    (handed,) = stage.poll()
    fail(stage, [handed])
    stage.be_quiet()
    stage.pass_time(minutes=6)
    stage.report(handed["id"], "UNSENT", "PENDING")
    assert stage.poll(headers=other) == []
    stage.report(handed["id"], "SENT")
    assert stage.status(message_id) == "sent"
    assert stage.poll(headers=other) == []


def test_a_cancelled_message_stays_cancelled(stage):
    (message_id,) = stage.queue()
    handed = stage.poll()
    fail(stage, handed)
    with stage.world.database.transaction() as session:
        endings.cancel_queued(session, crms.get(session, "clinic"), clock.now())
    fail(stage, handed)
    assert stage.status(message_id) == "cancelled"


def test_what_comes_back_takes_its_room_in_the_queue(stage):
    settings = replace(stage.world.settings, queue_limit=2, device_queue_limit=2)
    stage.world.settings = settings
    use(stage, queue_limit=2, device_queue_limit=2)
    stage.queue(device_id="phone-1")
    fail(stage, stage.poll())
    stage.queue(device_id="phone-1")
    with pytest.raises(TooMany):
        stage.queue(device_id="phone-1")


def test_waiting_for_says_until_when_the_phone_is_paused(stage):
    see(stage)
    (message_id,) = stage.queue()
    fail(stage, stage.poll())
    waits = waiting_for(stage, message_id)
    assert (waits["hop"], waits["until"]) == ("limit", "2026-03-01T12:05:00.000Z")
    assert "resultCode=5" in waits["text"]
    stage.pass_time(minutes=5)
    see(stage)
    stage.poll()
    (other,) = stage.queue()
    assert "one message in hand to try again" in waiting_for(stage, other)["text"]


@pytest.mark.parametrize(
    "act", [breaker.resume, lambda session, device: enrolment.reset(session, device, NOW)]
)
def test_a_person_ends_the_pause(stage, act):
    use(stage, **FAST)
    stage.queue(5)
    fail(stage, stage.poll())
    with stage.world.database.transaction() as session:
        act(session, registry.get(session, "phone-1"))
    assert shape(stage)["limited_until"] is None
    assert len(stage.poll()) == 5
    assert stage.events().count("device.limited") == 1


def test_the_doctor_names_the_pause_and_the_next_step(stage):
    def finding():
        with stage.world.database.reading() as session:
            (found,) = [
                one
                for one in callers.findings(
                    session, stage.world.settings, clock.now(), registry.everyone(session)
                )
                if "resultCode=5" in one.text
            ]
            return found

    stage.queue()
    fail(stage, stage.poll())
    assert finding().state == "wrong"
    assert "paused until 2026-03-01 12:05 UTC" in finding().text
    assert "device resume phone-1" in finding().advice
    stage.pass_time(minutes=5)
    assert "one message at a time" in finding().text


def test_limits_hold_for_tries_too(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=3)
    stage.queue(5)
    handed = stage.poll()
    assert len(handed) == 3
    fail(stage, handed)
    stage.pass_time(minutes=5)
    assert stage.poll() == []
    stage.pass_time(minutes=55)
    assert len(take(stage)) == 1
