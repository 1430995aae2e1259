"""Reports: the life of a dispatch as its phone tells it, late, twice, out of order, and from somebody else."""

import dataclasses
import threading
import uuid

import pytest

from smsgw import clock
from smsgw.phones.cht import endpoints
from smsgw.store.models import HistoryEntry, Message

from ..purging import purge
from .conftest import sms, update


def test_the_normal_life_of_a_message(stage):
    message_id, dispatch_id = stage.send()
    stage.pass_time(seconds=60)
    stage.report(dispatch_id, "UNSENT", "PENDING", "SENT")
    stage.pass_time(seconds=60)
    stage.report(dispatch_id, "DELIVERED")
    assert stage.history(message_id) == [
        "queued",
        "dispatched",
        "accepted",
        "sending",
        "sent",
        "delivered",
    ]
    assert stage.events() == [
        "message.dispatched",
        "message.accepted",
        "message.sent",
        "message.delivered",
    ]
    message = stage.message(message_id)
    assert (message.delivered_at - message.sent_at).total_seconds() == 60


def test_each_event_shows_the_message_as_it_stood_then(stage):
    _, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "SENT", "DELIVERED")
    assert [body["data"]["status"] for body in stage.bodies()] == [
        "dispatched",
        "accepted",
        "sent",
        "delivered",
    ]


def test_an_old_app_that_does_not_say_unsent(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "PENDING", "SENT")
    assert stage.status(message_id) == "sent"


@pytest.mark.parametrize("word", ["SENT", "DELIVERED"])
def test_a_report_may_come_without_the_ones_before_it(stage, word):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, word)
    assert stage.status(message_id) == word.lower()
    assert stage.message(message_id).sent_at is not None


def test_a_failure_has_its_reason_and_class(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="destination.invalid")
    message = stage.message(message_id)
    assert (message.status, message.reason, message.reason_class) == (
        "failed",
        "destination.invalid",
        "permanent",
    )
    assert stage.bodies()[-1]["data"]["reason_class"] == "permanent"


def test_a_huge_reason_is_cut(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "FAILED", reason="Exception: " + "x" * 100_000)
    assert len(stage.message(message_id).reason) == 500


def test_the_radio_tries_again_and_again_and_the_crm_is_told_once(stage):
    message_id, dispatch_id = stage.send()
    for _ in range(21):
        stage.pass_time(minutes=30)
        stage.report(dispatch_id, "UNSENT")
        stage.pass_time(minutes=1)
        stage.report(dispatch_id, "PENDING")
    assert stage.dispatches(message_id)[0].retry_count == 20
    stage.report(dispatch_id, "FAILED", reason="no-service")
    assert stage.events() == ["message.dispatched", "message.accepted", "message.failed"]
    assert stage.message(message_id).reason_class == "temporary"
    assert len(stage.history(message_id)) == 2 + 43


def test_the_same_words_after_a_poll_without_any_are_another_try_of_the_radio(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "UNSENT")
    for _ in range(5):
        stage.be_quiet()
        stage.report(dispatch_id, "PENDING", "UNSENT")
        stage.report(dispatch_id, "PENDING", "UNSENT")  # the answer was lost
    assert stage.dispatches(message_id)[0].retry_count == 6
    assert stage.events() == ["message.dispatched", "message.accepted"]
    assert len(stage.history(message_id)) == 2 + 3 + 10


def test_the_same_words_after_a_poll_without_any_are_another_try_of_a_person(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="destination.invalid")
    stage.be_quiet()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="no-service")
    assert stage.message(message_id).reason_class == "temporary"
    assert stage.events().count("message.failed") == 2


def test_another_reason_is_no_repeat(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="destination.invalid")
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED", reason="no-service")
    assert stage.message(message_id).reason == "no-service"


def test_a_repeat_about_a_message_whose_text_was_removed_changes_and_tells_nothing(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED")
    stage.pass_time(days=40)
    settings = dataclasses.replace(stage.world.settings, retention_days=30)
    with stage.world.database.transaction() as session:
        assert purge(session, settings, clock.now()) > 0
    reported = stage.events()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED")
    assert (stage.status(message_id), stage.events()) == ("failed", reported)


def test_a_person_presses_retry_after_a_failure(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED")
    stage.pass_time(minutes=5)
    stage.report(dispatch_id, "UNSENT", "PENDING", "SENT")
    message = stage.message(message_id)
    assert (message.status, message.reason, message.reason_class) == ("sent", None, None)
    assert stage.events() == [
        "message.dispatched",
        "message.accepted",
        "message.failed",
        "message.accepted",
        "message.sent",
    ]


def test_a_person_presses_retry_while_it_is_sending(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING")
    stage.report(dispatch_id, "UNSENT")
    assert stage.status(message_id) == "accepted"
    stage.report(dispatch_id, "PENDING", "SENT")
    assert stage.status(message_id) == "sent"


def test_a_repeated_batch_fires_no_event_twice_and_is_no_retry(stage):
    message_id, dispatch_id = stage.send()
    batch = ["UNSENT", "PENDING", "FAILED"]
    stage.report(dispatch_id, *batch)
    reported, history = stage.events(), stage.history(message_id)
    for _ in range(3):
        stage.pass_time(minutes=1)
        stage.report(dispatch_id, *batch)
    assert (stage.events(), stage.history(message_id)) == (reported, history)
    assert stage.status(message_id) == "failed"


def test_a_repeat_with_something_new_behind_it_counts_only_the_new(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING")
    stage.report(dispatch_id, "UNSENT", "PENDING", "SENT")
    stage.report(dispatch_id, "SENT", "DELIVERED")
    assert stage.history(message_id)[2:] == ["accepted", "sending", "sent", "delivered"]


def test_the_same_status_twice_in_two_polls_is_one_history_entry(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "SENT")
    stage.report(dispatch_id, "SENT")
    assert stage.history(message_id) == ["queued", "dispatched", "sent"]


@pytest.mark.parametrize(
    ("said", "late", "stays"),
    [
        (["SENT"], "UNSENT", "sent"),
        (["SENT"], "PENDING", "sent"),
        (["SENT"], "FAILED", "sent"),
        (["SENT", "DELIVERED"], "SENT", "delivered"),
        (["DELIVERED"], "FAILED", "delivered"),
        (["DELIVERED"], "UNSENT", "delivered"),
    ],
)
def test_a_late_report_takes_nothing_back_but_stays_in_the_history(stage, said, late, stays):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, *said)
    reported = stage.events()
    stage.report(dispatch_id, late)
    assert stage.status(message_id) == stays
    assert stage.events() == reported
    assert len(stage.history(message_id)) == 2 + len(said) + 1


def test_a_negative_delivery_report_after_sent_is_a_failure(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "SENT")
    stage.report(dispatch_id, "FAILED", reason="Delivery failed: SM does not exist")
    assert stage.status(message_id) == "failed"


def test_sent_after_failed_is_believed(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "PENDING", "FAILED")
    stage.report(dispatch_id, "SENT")
    assert stage.status(message_id) == "sent"


@pytest.mark.parametrize("word", ["UNSENT", "PENDING", "SENT", "DELIVERED", "FAILED"])
def test_a_later_report_lifts_a_failure_that_was_only_assumed(stage, word):
    message_id, dispatch_id = stage.send(ttl_seconds=130)
    stage.pass_time(seconds=131)
    stage.run_housekeeping()
    assert stage.message(message_id).reason_class == "unconfirmed"
    stage.report(dispatch_id, word)
    message = stage.message(message_id)
    assert message.reason_class != "unconfirmed"
    assert (
        message.status
        == {
            "UNSENT": "accepted",
            "PENDING": "sending",
            "SENT": "sent",
            "DELIVERED": "delivered",
            "FAILED": "failed",
        }[word]
    )


def test_two_statuses_in_one_poll_are_both_kept_in_their_order(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "PENDING", "SENT")
    assert stage.history(message_id)[2:] == ["sending", "sent"]


@pytest.mark.parametrize("word", ["WEIRD_STATUS", "WTF", "sent"])
def test_an_unknown_status_is_kept_and_changes_nothing(stage, word):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, word)
    assert stage.status(message_id) == "dispatched"
    assert stage.history(message_id)[-1] == word


@pytest.mark.parametrize("status", [None, 5, "", ["SENT"]])
def test_a_status_that_is_none_is_kept_as_unrecognised(stage, status):
    message_id, dispatch_id = stage.send()
    stage.poll(updates=[{"id": dispatch_id, "status": status}])
    assert stage.history(message_id)[-1] == "unrecognised"


def test_an_update_without_a_status_is_kept_as_unrecognised(stage):
    message_id, dispatch_id = stage.send()
    stage.poll(updates=[{"id": dispatch_id}])
    assert stage.history(message_id)[-1] == "unrecognised"


def test_updates_for_ids_we_never_gave_are_counted_and_stop_nobody(stage):
    message_id, dispatch_id = stage.send()
    stage.poll(
        updates=[
            update(str(uuid.uuid4()), "SENT"),
            update("\0'; drop table messages", "SENT"),
            update("x" * 100_000, "SENT"),
            update(message_id, "SENT"),
            update(dispatch_id, "SENT"),
        ]
    )
    assert stage.status(message_id) == "sent"
    assert stage.device().unknown_report_count == 4


def test_an_update_for_another_devices_message_is_counted_and_changes_nothing(stage):
    other = stage.world.add_device("phone-2")
    message_id, dispatch_id = stage.send()
    stage.poll(updates=[update(dispatch_id, "SENT")], headers=other)
    assert stage.status(message_id) == "dispatched"
    assert stage.device("phone-2").unknown_report_count == 1


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, {"id": None}, {"id": 5}, {"id": ""}])
def test_a_bad_update_goes_into_quarantine_and_its_neighbours_count(stage, bad):
    message_id, dispatch_id = stage.send()
    stage.poll(updates=[bad, update(dispatch_id, "SENT"), bad])
    assert stage.status(message_id) == "sent"
    (aside,) = stage.quarantined()
    assert "update" in aside.reason


def test_a_hundred_updates_in_one_poll_leave_each_message_with_one_status(stage):
    words = ("PENDING", "SENT", "DELIVERED", "FAILED")
    sent = []
    for _ in range(10):
        stage.queue(10)
        sent += [one["id"] for one in stage.poll()]
        stage.poll(updates=[update(dispatch_id, "SENT") for dispatch_id in sent[-10:]])
        stage.pass_time(minutes=2)
    assert len(sent) == 100
    stage.poll(
        updates=[
            update(dispatch_id, words[number % 4], f"excuse #{number}")
            for number, dispatch_id in enumerate(sent)
        ]
    )
    with stage.world.database.reading() as session:
        statuses = [row.status for row in session.query(Message).order_by(Message.id)]
    assert statuses == ["sent", "sent", "delivered", "sent"] * 25


def overlapping(stage, monkeypatch, first, second):
    """`second` is handled from its arrival to its end while `first`, which arrived earlier, waits to be read."""
    read = endpoints.bodies.read
    arrived, may_go_on = threading.Event(), threading.Event()

    def slow_read(limit):
        if threading.current_thread().name == "slow":
            arrived.set()
            assert may_go_on.wait(20)
        return read(limit)

    monkeypatch.setattr(endpoints.bodies, "read", slow_read)
    slow = threading.Thread(target=stage.poll, kwargs={"updates": first}, name="slow")
    slow.start()
    assert arrived.wait(20)
    stage.poll(updates=second)
    may_go_on.set()
    slow.join()


def test_an_overlapping_older_request_takes_nothing_back(stage, monkeypatch):
    message_id, dispatch_id = stage.send()
    older = [update(dispatch_id, word) for word in ("UNSENT", "PENDING")]
    newer = [*older, update(dispatch_id, "SENT")]
    overlapping(stage, monkeypatch, older, newer)
    assert stage.status(message_id) == "sent"


def test_an_overlapping_older_request_does_not_look_like_a_retry(stage, monkeypatch):
    message_id, dispatch_id = stage.send()
    older = [update(dispatch_id, word) for word in ("UNSENT", "PENDING")]
    newer = [*older, update(dispatch_id, "FAILED")]
    overlapping(stage, monkeypatch, older, newer)
    assert stage.status(message_id) == "failed"
    assert stage.events() == ["message.dispatched", "message.accepted", "message.failed"]


def test_an_overlapping_request_still_moves_a_status_forward(stage, monkeypatch):
    message_id, dispatch_id = stage.send()
    overlapping(stage, monkeypatch, [update(dispatch_id, "SENT")], [update(dispatch_id, "PENDING")])
    assert stage.status(message_id) == "sent"


def test_sent_in_an_overlapping_request_is_believed_after_failed(stage, monkeypatch):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED")
    retried = [update(dispatch_id, word) for word in ("UNSENT", "PENDING", "SENT")]
    overlapping(stage, monkeypatch, retried, [update("stranger", "SENT")])
    assert stage.status(message_id) == "sent"


def test_giving_up_and_a_report_at_the_same_moment_leave_the_report_in_force(stage):
    for _ in range(5):
        message_id, dispatch_id = stage.send(ttl_seconds=130)
        stage.pass_time(seconds=131)
        threads = [
            threading.Thread(target=stage.run_housekeeping),
            threading.Thread(target=stage.report, args=(dispatch_id, "UNSENT")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (dispatch,) = stage.dispatches(message_id)
        assert (dispatch.status, dispatch.reason_class) == ("accepted", None)
        assert stage.message(message_id).reason_class is None


def test_accepted_for_fourteen_hours_is_stuck_and_never_resent_by_itself(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT")
    stage.pass_time(hours=13, minutes=59)
    stage.run_housekeeping()
    assert stage.message(message_id).stuck_at is None
    stage.pass_time(minutes=1)
    stage.run_housekeeping()
    stage.pass_time(hours=1)
    stage.run_housekeeping()
    assert stage.events() == ["message.dispatched", "message.accepted", "message.stuck"]
    assert stage.message(message_id).status == "accepted"
    assert stage.poll() == []


def test_sending_for_a_day_is_stuck_and_a_late_report_ends_that(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "PENDING")
    stage.pass_time(hours=24)
    stage.run_housekeeping()
    assert stage.message(message_id).stuck_at is not None
    stage.report(dispatch_id, "SENT")
    message = stage.message(message_id)
    assert (message.status, message.stuck_at) == ("sent", None)


def test_a_late_sent_of_the_old_dispatch_cancels_the_new_one_not_yet_handed_out(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    stage.poll(updates=[update(dispatch_id, "SENT")])
    assert stage.status(message_id) == "sent"
    assert len(stage.dispatches(message_id)) == 1
    assert stage.poll() == []


def test_of_several_dispatches_the_one_that_got_furthest_speaks(stage):
    message_id, first = stage.send()
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    (second,) = stage.poll()
    stage.report(first, "SENT")
    assert stage.status(message_id) == "sent"
    stage.report(second["id"], "FAILED")
    assert stage.status(message_id) == "sent"
    stage.report(second["id"], "UNSENT", "PENDING", "SENT", "DELIVERED")
    assert stage.status(message_id) == "delivered"


def test_what_the_old_dispatch_says_short_of_sent_does_not_hide_the_new_one(stage):
    message_id, first = stage.send()
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    stage.poll()
    stage.poll(updates=[update(first, "UNSENT")])
    assert stage.status(message_id) == "dispatched"
    assert len(stage.dispatches(message_id)) == 2


def test_a_resend_waits_while_the_phone_is_at_the_old_dispatch_again(stage):
    message_id, first = stage.send()
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    stage.pass_time(minutes=6)
    later = stage.queue(content="behind it")
    handed = stage.poll(updates=[update(first, "UNSENT"), update(first, "PENDING")])
    assert [one["content"] for one in handed] == ["behind it"]
    assert stage.status(message_id) == "queued"
    stage.report(first, "SENT")
    assert stage.poll() == []
    assert stage.status(message_id) == "sent"
    assert stage.status(later[0]) == "dispatched"


def test_a_resend_goes_out_once_the_old_dispatch_has_failed_again(stage):
    message_id, first = stage.send()
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    stage.pass_time(minutes=6)
    assert stage.poll(updates=[update(first, "UNSENT")]) == []
    handed = stage.poll(updates=[update(first, "PENDING"), update(first, "FAILED", "again")])
    assert len(handed) == 1
    assert stage.status(message_id) == "dispatched"


def test_a_resend_does_not_wait_for_an_old_dispatch_that_is_stuck(stage):
    message_id, first = stage.send()
    stage.report(first, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    stage.pass_time(minutes=6)
    assert stage.poll(updates=[update(first, "UNSENT")]) == []
    stage.pass_time(hours=15)
    stage.run_housekeeping()
    assert len(stage.poll()) == 1


def test_a_report_on_another_devices_dispatch_is_logged(stage, caplog):
    _, dispatch_id = stage.send(device_id="phone-1")
    other = stage.world.add_device("phone-2")
    stage.poll(updates=[update(dispatch_id, "SENT")], headers=other)
    assert "device phone-2 reports on" in caplog.text


def test_everything_the_phone_said_has_its_time(stage):
    _, dispatch_id = stage.send()
    for word in ("UNSENT", "PENDING", "SENT", "PENDING"):
        stage.pass_time(minutes=1)
        stage.report(dispatch_id, word)
    with stage.world.database.reading() as session:
        rows = session.query(HistoryEntry).filter(HistoryEntry.reported.is_not(None)).all()
    assert [(row.reported, row.at.minute) for row in rows] == [
        ("UNSENT", 1),
        ("PENDING", 2),
        ("SENT", 3),
        ("PENDING", 4),
    ]


def test_messages_and_updates_and_hand_outs_ride_in_one_poll(stage):
    message_id, dispatch_id = stage.send()
    stage.queue(content="next")
    handed = stage.poll([sms("in")], [update(dispatch_id, "SENT")])
    assert [one["content"] for one in handed] == ["next"]
    assert stage.status(message_id) == "sent"
    assert [kept.content for kept in stage.inbox()] == ["in"]
