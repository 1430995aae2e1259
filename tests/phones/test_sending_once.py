"""An SMS goes out once: whatever speaks for a message ends what else was handed out for it."""

import threading

import pytest
import sqlalchemy as sa

from smsgw.store.models import Dispatch, Message

from .conftest import update


def resent(stage, **draft):
    """A message that failed on phone-1 and was resent, handed out once more, and the answer with that was lost."""
    message_id, first = stage.send(**draft)
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    stage.pass_time(seconds=1)
    (second,) = stage.poll()
    return message_id, first, second["id"]


@pytest.mark.parametrize("word", ["SENT", "DELIVERED"])
def test_what_an_older_dispatch_sent_is_not_handed_out_again(stage, word):
    message_id, first, _ = resent(stage)
    stage.report(first, word)
    for _ in range(5):
        stage.pass_time(minutes=3)
        assert stage.poll() == []
        stage.run_housekeeping()
    assert stage.status(message_id) == word.lower()
    assert [one.status for one in stage.dispatches(message_id)] == [word.lower(), "failed"]
    assert stage.dispatches(message_id)[1].reason_class == "unconfirmed"
    assert stage.events().count("message.failed") == 1
    assert stage.history(message_id).count("failed") == 2


def test_the_report_in_the_very_poll_that_would_be_handed_the_sms_again_counts(stage):
    _, first, _ = resent(stage)
    stage.pass_time(minutes=3)
    assert stage.poll(updates=[update(first, "SENT")]) == []


def test_another_phone_is_not_handed_again_what_the_first_one_sent(stage):
    other = stage.world.add_device("phone-2")
    message_id, first = stage.send()
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    assert len(stage.poll(headers=other)) == 1
    stage.report(first, "SENT")
    stage.pass_time(minutes=3)
    assert stage.poll(headers=other) == []


def test_a_phone_that_tries_an_older_dispatch_again_keeps_the_newer_one_from_being_handed_out_again(
    stage,
):
    message_id, first, second = resent(stage)
    stage.pass_time(minutes=6)
    assert stage.poll(updates=[update(first, "UNSENT"), update(first, "PENDING")]) == []
    handed = stage.poll(updates=[update(first, "FAILED", "no-service")])
    assert [one["id"] for one in handed] == [second]
    assert stage.status(message_id) == "dispatched"


def test_a_dispatch_that_was_ended_and_is_reported_all_the_same_is_shown(stage):
    message_id, first, second = resent(stage)
    stage.report(first, "SENT")
    stage.report(second, "UNSENT", "PENDING")
    assert stage.status(message_id) == "sent"
    assert [one.status for one in stage.dispatches(message_id)] == ["sent", "sending"]
    stage.report(second, "SENT", "DELIVERED")
    assert stage.status(message_id) == "delivered"


def test_what_the_phone_has_confirmed_is_not_ended(stage):
    message_id, first, second = resent(stage)
    stage.report(second, "WEIRD")
    stage.report(first, "SENT")
    assert [one.status for one in stage.dispatches(message_id)] == ["sent", "dispatched"]


@pytest.mark.parametrize("status", ["sent", "delivered", "cancelled", "expired", "failed"])
def test_nothing_is_handed_out_again_for_a_message_that_has_ended(stage, status):
    message_id, _ = stage.send()
    with stage.world.database.transaction() as session:
        session.execute(sa.update(Message).where(Message.id == message_id).values(status=status))
    stage.pass_time(minutes=3)
    assert stage.poll() == []


def test_what_an_older_version_left_open_for_a_message_that_was_sent_is_ended(stage):
    message_id, _ = stage.send()
    with stage.world.database.transaction() as session:
        session.execute(sa.update(Message).where(Message.id == message_id).values(status="sent"))
    stage.pass_time(minutes=3)
    stage.run_housekeeping()
    (dispatch,) = stage.dispatches(message_id)
    assert (dispatch.status, dispatch.reason_class) == ("failed", "unconfirmed")


def test_a_report_and_a_second_hand_out_on_two_phones_at_once_end_in_one_sms(stage):
    other = stage.world.add_device("phone-2")
    barrier = threading.Barrier(2)

    for _ in range(3):
        message_id, first = stage.send()
        stage.report(first, "UNSENT", "PENDING", "FAILED")
        stage.resend(message_id)
        assert len(stage.poll(headers=other)) == 1
        stage.pass_time(minutes=3)

        def take():
            barrier.wait(20)
            stage.poll(headers=other)

        taking = threading.Thread(target=take)
        taking.start()
        barrier.wait(20)
        stage.report(first, "SENT")
        taking.join()
        stage.pass_time(minutes=3)
        assert stage.poll(headers=other) == []
        assert stage.status(message_id) == "sent"
        with stage.world.database.reading() as session:
            open_ = session.query(Dispatch).filter(Dispatch.status == "dispatched").count()
        assert open_ == 0
