"""Reports that arrive late: what was said before moves no status, and a person's retry still ends in one."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import registry
from smsgw.http.context import EXTENSION
from smsgw.store.models import Device

from .conftest import act_while_reading, update


def failed(stage, reason="generic; errorCode=1"):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason=reason)
    return message_id, dispatch_id


@pytest.mark.parametrize(
    "late", [["UNSENT"], ["PENDING"], ["UNSENT", "PENDING"], ["UNSENT", "PENDING", "FAILED"]]
)
@pytest.mark.parametrize("seconds", [0, 1, 20, 120])
def test_an_older_request_that_arrives_after_a_failure_moves_no_status(stage, late, seconds):
    message_id, dispatch_id = failed(stage)
    events = stage.events()
    stage.pass_time(seconds=seconds)
    for _ in range(2):
        stage.report(dispatch_id, *late)
    assert (stage.status(message_id), stage.events()) == ("failed", events)


def test_the_late_words_are_kept_in_the_history(stage):
    message_id, dispatch_id = failed(stage)
    stage.report(dispatch_id, "UNSENT", "PENDING")
    assert stage.history(message_id)[-3:] == ["failed", "accepted", "sending"]


def test_a_resend_made_before_the_older_request_arrives_goes_out_at_once(stage):
    message_id, dispatch_id = failed(stage)
    stage.resend(message_id)
    handed = stage.poll(updates=[update(dispatch_id, "UNSENT"), update(dispatch_id, "PENDING")])
    assert len(handed) == 1
    assert stage.status(message_id) == "dispatched"


@pytest.mark.parametrize("minutes", [0, 1, 4, 6])
@pytest.mark.parametrize("end", ["SENT", "DELIVERED"])
def test_the_retry_of_a_person_ends_in_what_became_of_it(stage, minutes, end):
    message_id, dispatch_id = failed(stage)
    stage.pass_time(minutes=minutes)
    stage.report(dispatch_id, "UNSENT", "PENDING")
    stage.pass_time(minutes=1)
    stage.report(dispatch_id, end)
    assert stage.status(message_id) == end.lower()


@pytest.mark.parametrize("minutes", [0, 1, 4, 6])
@pytest.mark.parametrize("reason", ["generic; errorCode=1", "no-service"])
def test_a_retry_that_fails_again_ends_in_failed(stage, minutes, reason):
    message_id, dispatch_id = failed(stage)
    stage.pass_time(minutes=minutes)
    stage.report(dispatch_id, "UNSENT", "PENDING")
    stage.pass_time(minutes=2)
    stage.report(dispatch_id, "FAILED", reason=reason)
    message = stage.message(message_id)
    assert (message.status, message.reason) == ("failed", reason)


def test_a_retry_is_shown_as_one_when_the_failure_is_some_minutes_old(stage):
    message_id, dispatch_id = failed(stage)
    stage.pass_time(minutes=5)
    stage.report(dispatch_id, "UNSENT", "PENDING")
    assert stage.status(message_id) == "sending"


@pytest.mark.parametrize("word", ["UNSENT", "PENDING"])
def test_a_retry_is_shown_as_one_when_the_request_that_reports_the_failure_goes_on_to_it(
    stage, word
):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING")
    stage.report(dispatch_id, "FAILED", word)
    assert stage.status(message_id) == {"UNSENT": "accepted", "PENDING": "sending"}[word]


def test_a_retry_is_shown_as_one_when_the_clock_was_set_back_since_the_failure(stage):
    message_id, dispatch_id = failed(stage)
    stage.pass_time(hours=-1)
    stage.report(dispatch_id, "UNSENT", "PENDING")
    assert stage.status(message_id) == "sending"


def test_an_old_failure_that_arrives_after_a_newer_one_does_not_take_its_place(stage):
    message_id, dispatch_id = failed(stage, reason="destination.invalid")
    stage.pass_time(minutes=6)
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="no-service")
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="destination.invalid")
    assert stage.message(message_id).reason == "no-service"


def test_an_old_negative_delivery_report_does_not_undo_a_retry_that_was_sent(stage):
    message_id, dispatch_id = failed(stage, reason="Delivery failed: Congestion")
    stage.pass_time(minutes=6)
    stage.report(dispatch_id, "UNSENT", "PENDING", "SENT")
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="Delivery failed: Congestion")
    assert stage.status(message_id) == "sent"


@pytest.mark.parametrize("words", [["SENT"], ["SENT", "DELIVERED"]])
def test_an_older_request_that_arrives_after_sent_moves_no_status(stage, words):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", *words)
    events = stage.events()
    for late in (["UNSENT"], ["UNSENT", "PENDING"], ["PENDING", "SENT"]):
        stage.pass_time(seconds=10)
        stage.report(dispatch_id, *late)
    assert (stage.status(message_id), stage.events()) == (words[-1].lower(), events)


def test_words_from_before_a_reset_do_not_lift_what_it_ended(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING")
    stage.pass_time(minutes=1)
    with stage.world.database.transaction() as session:
        enrolment.reset(session, registry.get(session, "phone-1"), clock.now())
    stage.report(dispatch_id, "UNSENT")
    assert stage.message(message_id).reason_class == "unconfirmed"
    stage.report(dispatch_id, "SENT")
    assert stage.status(message_id) == "sent"


def flush(stage):
    with stage.world.database.transaction() as session:
        stage.world.app.extensions[EXTENSION].last_seen_writer.sightings.write(session)


def let_in_then(stage, monkeypatch, body, act):
    """A poll with this body, whose body is read only after `act`."""
    act_while_reading(monkeypatch, act)
    stage.poll(**body)


def test_an_idle_poll_that_was_let_in_before_a_failure_does_not_make_its_repeat_news(
    stage, monkeypatch
):
    message_id, dispatch_id = stage.send()
    words = ["UNSENT", "PENDING", "FAILED"]
    let_in_then(stage, monkeypatch, {}, lambda: stage.report(dispatch_id, *words))
    flush(stage)
    events = stage.events()
    stage.pass_time(minutes=10)
    stage.report(dispatch_id, *words)
    assert (stage.status(message_id), stage.events()) == ("failed", events)


def test_a_repeat_whose_answer_was_lost_too_is_still_a_repeat_after_an_idle_poll_in_between(
    stage, monkeypatch
):
    message_id, dispatch_id = stage.send()
    words = ["UNSENT", "PENDING", "UNSENT"]
    stage.report(dispatch_id, *words)
    let_in_then(stage, monkeypatch, {}, lambda: stage.report(dispatch_id, *words))
    flush(stage)
    stage.pass_time(minutes=10)
    stage.report(dispatch_id, *words)
    assert stage.device().quiet_revision is not None
    assert [one.retry_count for one in stage.dispatches(message_id)] == [1]


@pytest.mark.parametrize("ahead", [-30, 30])
def test_two_servers_whose_clocks_differ_tell_a_retry_from_a_repeat_alike(stage, ahead):
    message_id, dispatch_id = stage.send()
    with time_machine.travel(clock.now() + timedelta(seconds=ahead), tick=False):
        stage.report(dispatch_id, "UNSENT", "PENDING", "UNSENT")
    stage.pass_time(seconds=1)
    stage.poll()
    flush(stage)
    with time_machine.travel(clock.now() + timedelta(seconds=ahead), tick=False):
        stage.report(dispatch_id, "PENDING", "UNSENT")
    stage.report(dispatch_id, "PENDING", "UNSENT")
    (dispatch,) = stage.dispatches(message_id)
    assert dispatch.retry_count == 2


def test_a_sighting_that_is_written_late_takes_no_newer_one_back(stage):
    stage.poll()
    with stage.world.database.transaction() as session:
        session.execute(sa.update(Device).values(quiet_revision=5))
    flush(stage)
    assert stage.device().quiet_revision == 5
