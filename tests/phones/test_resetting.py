"""`device reset` and `device remove`: what a phone that has forgotten everything had in hand."""

from dataclasses import replace

import pytest

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import registry
from smsgw.core.operations import doctor
from smsgw.errors import IllegalTransition, NotFound
from smsgw.http.context import EXTENSION

from .conftest import update

WORDS = {"dispatched": [], "accepted": ["UNSENT"], "sending": ["UNSENT", "PENDING"]}


def act(stage, change=enrolment.reset):
    with stage.world.database.transaction() as session:
        return change(session, registry.get(session, "phone-1"), clock.now())


def removed_and_added(stage):
    act(stage, enrolment.remove)
    return stage.world.add_device("phone-1")


@pytest.mark.parametrize("change", [enrolment.reset, enrolment.remove])
@pytest.mark.parametrize("status", list(WORDS))
def test_what_a_phone_had_in_hand_fails_as_unconfirmed(stage, change, status):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, *WORDS[status])
    act(stage, change)
    message = stage.message(message_id)
    assert (message.status, message.reason_class) == ("failed", "unconfirmed")
    assert stage.events()[-1] == "message.failed"
    with pytest.raises(IllegalTransition, match="may_duplicate"):
        stage.resend(message_id)
    stage.resend(message_id, anyway=True)
    assert stage.status(message_id) == "queued"


@pytest.mark.parametrize("words", [["SENT"], ["DELIVERED"], ["FAILED"], ["WEIRD"]])
def test_what_a_phone_was_done_with_stays_as_it_is(stage, words):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, *words)
    before = stage.status(message_id)
    act(stage)
    assert stage.status(message_id) == (before if words != ["WEIRD"] else "failed")


def test_a_stuck_message_is_freed_too(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT")
    stage.pass_time(hours=15)
    stage.run_housekeeping()
    act(stage)
    message = stage.message(message_id)
    assert (message.status, message.reason_class, message.stuck_at) == (
        "failed",
        "unconfirmed",
        None,
    )


def test_the_capacity_of_a_phone_that_was_reset_is_free_at_once(stage):
    stage.world.app.extensions["smsgw"].settings = replace(
        stage.world.settings, segments_per_minute=1000
    )
    stage.queue(20)
    handed = stage.poll()
    stage.poll(updates=[update(one["id"], "UNSENT") for one in handed])
    assert stage.poll() == []
    assert act(stage) == 10
    assert len(stage.poll()) == 10


@pytest.mark.parametrize("word", ["UNSENT", "PENDING", "SENT", "DELIVERED", "FAILED"])
def test_a_late_report_lifts_what_a_reset_has_ended(stage, word):
    message_id, dispatch_id = stage.send()
    act(stage)
    stage.report(dispatch_id, word)
    message = stage.message(message_id)
    assert message.status != "failed" or word == "FAILED"
    assert message.reason_class != "unconfirmed"


def test_a_resend_does_not_wait_for_a_phone_that_has_forgotten_the_older_dispatch(stage):
    message_id, first = stage.send()
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    stage.pass_time(minutes=6)
    assert stage.poll(updates=[update(first, "UNSENT")]) == []
    act(stage)
    assert stage.status(message_id) == "queued"
    assert len(stage.poll()) == 1


def test_a_new_phone_under_a_removed_name_is_handed_new_messages_and_no_old_ones(stage):
    sent = [stage.send() for _ in range(10)]
    for _, dispatch_id in sent[:5]:
        stage.report(dispatch_id, "UNSENT")
    headers = removed_and_added(stage)
    stage.pass_time(minutes=5)
    (fresh,) = stage.queue(content="fresh")
    assert [one["content"] for one in stage.poll(headers=headers)] == ["fresh"]
    assert {stage.message(message_id).reason_class for message_id, _ in sent} == {"unconfirmed"}
    assert stage.status(fresh) == "dispatched"


def test_other_phones_keep_what_they_have_in_hand(stage):
    other = stage.world.add_device("phone-2")
    (mine,) = stage.queue(device_id="phone-2")
    assert len(stage.poll(headers=other)) == 1
    act(stage)
    assert stage.status(mine) == "dispatched"


def test_a_device_that_is_gone_cannot_be_reset_or_removed_once_more(stage):
    with stage.world.database.reading() as session:
        device = registry.get(session, "phone-1")
    act(stage, enrolment.remove)
    for change in (enrolment.reset, enrolment.remove):
        with stage.world.database.transaction() as session, pytest.raises(NotFound):
            change(session, device, clock.now())


def come(stage):
    """Polls, and has the database know it at once."""
    stage.poll()
    stage.world.app.extensions[EXTENSION].last_seen_writer.write()


def blocked(stage):
    """What `doctor` finds wrong with phone-1 besides its silence."""
    database, settings = stage.world.database, stage.world.settings
    return [
        finding
        for finding in doctor.examine(database, settings, clock.now())
        if finding.check == "device phone-1" and "in hand" in finding.text
    ]


def test_the_doctor_names_a_phone_whose_messages_do_not_move_and_the_way_out(stage):
    stage.queue(10)
    handed = stage.poll()
    stage.pass_time(minutes=65)
    stage.poll(updates=[update(one["id"], "UNSENT") for one in handed])
    stage.pass_time(minutes=9)
    assert blocked(stage) == []
    stage.pass_time(minutes=1)
    assert blocked(stage) == [], "a phone that does not come is one finding"
    come(stage)
    (finding,) = blocked(stage)
    assert finding.state == "wrong"
    expected = (
        "has had 10 messages in hand since 2026-03-01 13:05 UTC, 10 minutes ago, "
        "and gets no more until they move"
    )
    assert finding.text == expected
    assert "device reset phone-1" in finding.advice
    act(stage)
    assert blocked(stage) == []


def test_the_doctor_leaves_a_phone_alone_that_has_room_or_moves(stage):
    stage.queue(9)
    handed = stage.poll()
    stage.poll(updates=[update(one["id"], "UNSENT") for one in handed])
    stage.pass_time(minutes=30)
    assert blocked(stage) == []


def test_the_doctor_names_a_phone_that_leaves_some_messages_alone_while_others_move(stage):
    stage.queue(3)
    handed = stage.poll()
    stage.poll(updates=[update(one["id"], "UNSENT") for one in handed])
    stage.pass_time(minutes=119)
    stage.send()
    assert blocked(stage) == []
    stage.pass_time(minutes=1)
    come(stage)
    (finding,) = blocked(stage)
    assert finding.state == "warning"
    expected = (
        "has had 3 of its 4 messages in hand for more than 2 hours and has not tried to send them"
    )
    assert finding.text == expected
    assert "device reset phone-1" in finding.advice


def test_the_doctor_leaves_a_phone_alone_that_tries_again_by_itself(stage):
    _, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "UNSENT")
    stage.be_quiet()
    stage.pass_time(minutes=80)
    stage.report(dispatch_id, "PENDING", "UNSENT")
    stage.pass_time(minutes=89)
    assert blocked(stage) == []
