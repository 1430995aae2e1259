"""A phone is set up again: its app checked its URL, or its secret changed. It may be another phone, or an emptied one.

What it was handed before and has not confirmed is not handed out again: the next polls confirm it, or it fails.
"""

import threading

import pytest

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import protocols, registry
from smsgw.phones.cht import endpoints

from .conftest import act_while_reading, sms, update
from .test_handing_out import use, writes


def check(stage, headers=None):
    answer = stage.world.client.get("/api/sms", headers=headers or stage.world.as_device())
    assert (answer.status_code, answer.json) == (200, {"medic-gateway": True})
    return headers


def rotate(stage, _headers=None):
    with stage.world.database.transaction() as session:
        password = enrolment.rotate(session, registry.get(session, "phone-1"), clock.now())
    return stage.world.as_device("phone-1", password)


SET_UP = pytest.mark.parametrize("set_up", [check, rotate])


def poll_each_minute(stage, count, headers=None, **body):
    """So many polls, a minute apart; all that they were handed."""
    handed = []
    for _ in range(count):
        stage.pass_time(minutes=1)
        handed += stage.poll(headers=headers, **body)
        stage.run_housekeeping()
    return handed


def outcome(stage, message_id):
    message = stage.message(message_id)
    return message.status, message.reason_class


@SET_UP
def test_what_a_phone_took_before_it_was_set_up_is_never_handed_out_again(stage, set_up):
    use(stage, segments_per_minute=1000)
    sent = stage.queue(10)
    assert len(stage.poll()) == 10
    headers = set_up(stage)
    assert poll_each_minute(stage, 20, headers) == []
    assert {outcome(stage, message_id) for message_id in sent} == {("failed", "unconfirmed")}
    assert stage.events().count("message.failed") == 10


@SET_UP
def test_what_was_handed_out_after_the_set_up_is_handed_out_again_when_it_is_not_confirmed(
    stage, set_up
):
    headers = set_up(stage)
    (message_id,) = stage.queue()
    (first,) = stage.poll(headers=headers)
    stage.pass_time(minutes=2)
    assert [one["id"] for one in stage.poll(headers=headers)] == [first["id"]]
    assert stage.status(message_id) == "dispatched"


@SET_UP
@pytest.mark.parametrize("polls", [0, 1, 2])
@pytest.mark.parametrize("word", ["UNSENT", "PENDING", "SENT", "FAILED", "WEIRD"])
def test_the_first_polls_after_the_set_up_still_confirm_it(stage, set_up, polls, word):
    message_id, dispatch_id = stage.send()
    headers = set_up(stage)
    poll_each_minute(stage, polls, headers)
    stage.poll(updates=[update(dispatch_id, word)], headers=headers)
    assert stage.message(message_id).reason_class != "unconfirmed"
    assert poll_each_minute(stage, 5, headers) == []
    assert stage.message(message_id).reason_class != "unconfirmed"


@SET_UP
def test_one_poll_or_two_prove_nothing_and_the_third_does(stage, set_up):
    message_id, _ = stage.send()
    stage.pass_time(minutes=30)
    headers = set_up(stage)
    for _ in range(2):
        stage.poll(headers=headers)
        assert stage.status(message_id) == "dispatched"
    stage.poll(headers=headers)
    assert outcome(stage, message_id) == ("failed", "unconfirmed")


@SET_UP
def test_it_is_not_given_up_before_its_lease_is_over_however_often_the_phone_polls(stage, set_up):
    message_id, dispatch_id = stage.send()
    headers = set_up(stage)
    for _ in range(20):
        stage.pass_time(seconds=5)
        stage.poll(headers=headers)
    assert stage.status(message_id) == "dispatched"
    stage.poll(updates=[update(dispatch_id, "UNSENT")], headers=headers)
    assert stage.status(message_id) == "accepted"


@SET_UP
def test_a_poll_with_twenty_updates_proves_nothing_because_there_may_be_more(stage, set_up):
    message_id, dispatch_id = stage.send()
    headers = set_up(stage)
    strangers = [update(f"not-ours-{number}", "SENT") for number in range(20)]
    poll_each_minute(stage, 10, headers, updates=strangers)
    assert stage.status(message_id) == "dispatched"
    stage.poll(updates=[update(dispatch_id, "UNSENT")], headers=headers)
    assert stage.status(message_id) == "accepted"


@pytest.mark.parametrize("word", ["UNSENT", "PENDING", "SENT", "DELIVERED"])
def test_a_later_report_lifts_what_the_polls_after_a_check_did_not_confirm(stage, word):
    message_id, dispatch_id = stage.send()
    check(stage)
    poll_each_minute(stage, 3)
    assert outcome(stage, message_id) == ("failed", "unconfirmed")
    stage.report(dispatch_id, word)
    assert outcome(stage, message_id) == (endpoints.STATUS[word], None)


def test_the_phone_gets_new_messages_while_old_ones_are_in_doubt_and_their_places_afterwards(stage):
    use(stage, segments_per_minute=1000)
    stage.queue(9)
    stage.poll()
    check(stage)
    stage.queue(5)
    assert len(stage.poll()) == 1
    stage.poll()
    stage.pass_time(minutes=2)
    fresh = stage.poll(updates=[sms_like("SENT")])
    assert len(fresh) == 5, "the four that waited, and once more the one that was not confirmed"


def sms_like(word):
    return update("3e105262-070c-4913-949b-e7aca4f42b71", word)


@SET_UP
def test_a_poll_that_was_let_in_before_the_set_up_is_handed_nothing(stage, monkeypatch, set_up):
    (message_id,) = stage.queue()
    late = []
    act_while_reading(monkeypatch, lambda: late.append(set_up(stage)))
    answer = stage.post({"messages": [sms()]})
    if set_up is rotate:
        assert answer.status_code == 401
    else:
        assert answer.json == {"messages": []}
        assert len(stage.inbox()) == 1
    assert stage.status(message_id) == "queued"
    assert len(stage.poll(headers=late[0])) == 1


def test_a_poll_that_was_let_in_before_the_check_does_not_count(stage, monkeypatch):
    message_id, _ = stage.send()
    stage.pass_time(minutes=30)
    stage.poll(updates=[sms_like("SENT")])
    for _ in range(5):
        act_while_reading(monkeypatch, lambda: check(stage))
        stage.poll(updates=[sms_like("SENT")])
    assert stage.status(message_id) == "dispatched"


def test_a_poll_that_was_under_way_at_the_check_still_reports(stage, monkeypatch):
    message_id, dispatch_id = stage.send()
    act_while_reading(monkeypatch, lambda: check(stage))
    stage.report(dispatch_id, "UNSENT")
    assert stage.status(message_id) == "accepted"


def test_a_poll_that_hands_out_at_the_moment_of_the_check_hands_out_once(stage):
    use(stage, segments_per_minute=1000, in_flight_per_device=100)
    for _ in range(5):
        (message_id,) = stage.queue()
        barrier = threading.Barrier(2)
        handed = []

        def poll(handed=handed, barrier=barrier):
            barrier.wait(20)
            handed.extend(stage.poll())

        polling = threading.Thread(target=poll)
        polling.start()
        barrier.wait(20)
        check(stage)
        polling.join()
        handed += poll_each_minute(stage, 6)
        assert len({one["id"] for one in handed}) == 1
        was_before_the_check = outcome(stage, message_id) == ("failed", "unconfirmed")
        assert (len(handed) == 1) == was_before_the_check


def test_an_app_that_reports_only_what_it_has_begun_to_send_confirms_in_time(stage):
    use(stage, segments_per_minute=1000)
    sent = stage.queue(10)
    handed = stage.poll()
    check(stage)
    assert poll_each_minute(stage, 1) == []
    stage.pass_time(minutes=1)
    stage.poll(updates=[update(one["id"], "PENDING") for one in handed])
    poll_each_minute(stage, 5)
    assert {stage.status(message_id) for message_id in sent} == {"sending"}


def test_checks_that_follow_each_other_do_not_keep_a_message_in_doubt(stage):
    message_id, _ = stage.send()
    for _ in range(4):
        check(stage)
        stage.pass_time(minutes=1)
        stage.poll()
    assert outcome(stage, message_id) == ("failed", "unconfirmed")


def test_a_tool_that_asks_the_phones_url_again_and_again_loses_nothing_in_silence(stage):
    message_id, dispatch_id = stage.send()
    for _ in range(10):
        stage.pass_time(seconds=5)
        check(stage)
    stage.report(dispatch_id, "UNSENT", "PENDING", "SENT")
    assert stage.status(message_id) == "sent"
    lost, _ = stage.send()
    for _ in range(10):
        stage.pass_time(minutes=1)
        check(stage)
        stage.poll()
    assert outcome(stage, lost) == ("failed", "unconfirmed")
    assert "set up anew" in stage.message(lost).reason
    assert stage.events(lost)[-1] == "message.failed"


def test_the_check_is_on_the_disk_before_it_is_answered(stage):
    message_id, _ = stage.send()
    with stage.world.database.engine.connect() as watcher:
        before = writes(watcher)
        check(stage)
        assert writes(watcher) > before
    assert stage.dispatches(message_id)[0].in_doubt_since == clock.now()


def test_a_refused_check_changes_nothing(stage):
    message_id, _ = stage.send()
    headers = stage.world.as_device("phone-1", "wrong")
    assert stage.world.client.get("/api/sms", headers=headers).status_code == 401
    stage.world.client.head("/api/sms", headers=stage.world.as_device())
    stage.pass_time(minutes=2)
    assert len(stage.poll()) == 1
    assert stage.status(message_id) == "dispatched"


def test_polls_are_idle_again_once_nothing_is_in_doubt(stage):
    stage.send()
    check(stage)
    poll_each_minute(stage, 4)
    with stage.world.database.engine.connect() as watcher:
        before = writes(watcher)
        stage.poll()
        assert writes(watcher) == before


def test_polls_within_the_lease_are_idle_once_three_have_counted(stage):
    stage.send()
    check(stage)
    for _ in range(3):
        stage.poll()
    with stage.world.database.engine.connect() as watcher:
        before = writes(watcher)
        stage.poll()
        assert writes(watcher) == before


def test_what_another_app_of_the_device_was_handed_before_its_secret_changed_fails_in_time(stage):
    message_id, _ = stage.send()
    rotate(stage)
    with stage.world.database.transaction() as session:
        registry.get(session, "phone-1").protocol = protocols.MYSMSAPIO
    stage.pass_time(minutes=4)
    stage.run_housekeeping()
    assert stage.status(message_id) == "dispatched"
    stage.pass_time(minutes=1)
    stage.run_housekeeping()
    assert outcome(stage, message_id) == ("failed", "unconfirmed")


@SET_UP
def test_what_the_phone_has_confirmed_stays_with_it(stage, set_up):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT")
    headers = set_up(stage)
    poll_each_minute(stage, 10, headers)
    assert stage.status(message_id) == "accepted"


def test_a_message_in_doubt_says_what_it_waits_for(stage):
    message_id, _ = stage.send()
    stage.pass_time(minutes=1)
    check(stage)
    answer = stage.world.client.get(f"/api/v1/messages/{message_id}", headers=stage.world.as_crm())
    waiting = answer.json["waiting_for"]
    assert waiting["hop"] == "confirmation"
    assert "set up or its secret changed at 2026-03-01T12:01:00Z" in waiting["text"]
