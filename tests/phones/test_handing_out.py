"""Handing out: who is next, how much at once, and what happens when a phone never confirms."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.core.devices import queue as device_queue
from smsgw.core.devices import quotas, registry
from smsgw.core.messages import endings, handing_out, queueing
from smsgw.errors import IllegalTransition
from smsgw.store.models import Message

from ..conftest import NOW
from ..noting import noted
from .conftest import sms, update


def contents(handed):
    return [message["content"] for message in handed]


def use(stage, **changes):
    stage.world.app.extensions["smsgw"].settings = replace(stage.world.settings, **changes)


def test_a_queued_sms_is_handed_out_with_an_id_of_its_own(stage):
    (message_id,) = stage.queue(to="+49 151 2345-678", content="Grüße 👋")
    (handed,) = stage.poll()
    assert handed == {"id": handed["id"], "to": "+491512345678", "content": "Grüße 👋"}
    assert handed["id"] != message_id
    assert stage.status(message_id) == "dispatched"
    assert stage.events() == ["message.dispatched"]


def test_the_answer_is_ascii_json(stage):
    stage.queue(content="Grüße 👋")
    answer = stage.post({})
    assert answer.data.isascii()
    assert answer.json["messages"][0]["content"] == "Grüße 👋"


def test_an_sms_that_names_a_device_goes_to_no_other(stage):
    other = stage.world.add_device("phone-2")
    stage.queue(device_id="phone-2")
    assert stage.poll() == []
    assert len(stage.poll(headers=other)) == 1


def test_an_open_sms_belongs_to_no_phone_until_one_takes_it(stage):
    stage.world.add_device("silent")
    (message_id,) = stage.queue()
    assert stage.message(message_id).device_id is None
    stage.poll()
    assert stage.message(message_id).device_id == "phone-1"
    assert stage.message(message_id).from_number == "+4915112345678"


def test_an_open_sms_goes_only_to_a_phone_its_crm_may_use(stage):
    other = stage.world.add_device("phone-2")
    crm_id, _ = stage.world.add_crm("only-2", ["phone-2"])
    stage.queue(crm=crm_id)
    assert stage.poll() == []
    assert len(stage.poll(headers=other)) == 1


def test_the_next_is_chosen_by_priority_then_due_time_then_age(stage):
    use(stage, segments_per_minute=1000)
    soon = NOW + timedelta(minutes=1)
    stage.queue(content="due later", send_at=soon)
    stage.queue(content="old")
    stage.pass_time(seconds=1)
    stage.queue(content="young")
    stage.queue(content="named", device_id="phone-1")
    stage.queue(content="urgent", priority=9)
    stage.queue(content="whenever", priority=0)
    stage.pass_time(minutes=2)
    stage.queue(content="last")
    assert contents(stage.poll()) == [
        "urgent",
        "old",
        "young",
        "named",
        "due later",
        "last",
        "whenever",
    ]


def test_an_answer_holds_ten_and_the_window_is_never_exceeded(stage):
    use(stage, segments_per_minute=1000)
    stage.queue(25)
    first = stage.poll()
    assert len(first) == 10
    assert stage.poll() == []
    stage.poll(updates=[update(first[0]["id"], "UNSENT")])
    assert stage.poll() == []
    assert len(stage.poll(updates=[update(first[0]["id"], "SENT")])) == 1
    stage.poll(updates=[update(one["id"], "SENT") for one in first])
    assert len(stage.poll()) == 0


def test_an_answer_holds_ten_also_when_the_window_is_wider(stage):
    use(stage, segments_per_minute=1000, in_flight_per_device=50)
    stage.queue(25)
    assert [len(stage.poll()) for _ in range(4)] == [10, 10, 5, 0]


def test_sending_takes_a_place_for_ten_minutes_only(stage):
    use(stage, segments_per_minute=1000)
    stage.queue(20)
    handed = stage.poll()
    assert len(stage.poll(updates=[update(one["id"], "PENDING") for one in handed])) == 0
    stage.pass_time(minutes=9)
    assert stage.poll() == []
    stage.pass_time(minutes=2)
    assert len(stage.poll()) == 10


def test_what_is_stuck_on_a_phone_does_not_silence_it(stage):
    use(stage, segments_per_minute=1000)
    stage.queue(20)
    handed = stage.poll()
    stage.poll(updates=[update(one["id"], "UNSENT") for one in handed])
    stage.pass_time(hours=13)
    stage.run_housekeeping()
    assert stage.poll() == []
    stage.pass_time(hours=2)
    stage.run_housekeeping()
    assert len(stage.poll()) == 10


def test_a_device_gets_24_segments_a_minute(stage):
    stage.queue(12, content="x" * 300)
    assert len(stage.poll()) == 10
    stage.pass_time(seconds=1)
    handed = stage.poll()
    assert handed == []


def test_a_minute_later_it_gets_more(stage):
    use(stage, in_flight_per_device=100)
    stage.queue(30, content="x" * 450)
    assert [len(stage.poll()) for _ in range(3)] == [8, 0, 0]
    stage.pass_time(seconds=59)
    assert stage.poll() == []
    stage.pass_time(seconds=2)
    assert len(stage.poll()) == 8


def test_a_message_longer_than_the_minute_allows_goes_alone(stage):
    use(stage, segments_per_minute=2)
    stage.queue(1, content="x" * 1000)
    stage.queue(1, content="short")
    assert contents(stage.poll()) == ["x" * 1000]
    assert stage.poll() == []
    stage.pass_time(seconds=61)
    assert contents(stage.poll()) == ["short"]


def test_send_at_is_honoured_to_the_moment(stage):
    stage.queue(send_at=NOW + timedelta(minutes=5))
    stage.pass_time(minutes=4, seconds=59)
    assert stage.poll() == []
    stage.pass_time(seconds=1)
    assert len(stage.poll()) == 1


def test_expires_at_is_honoured_to_the_moment_also_before_housekeeping_runs(stage):
    (message_id,) = stage.queue(expires_at=NOW + timedelta(minutes=5))
    stage.pass_time(minutes=5)
    assert stage.poll() == []
    stage.run_housekeeping()
    assert stage.status(message_id) == "expired"
    assert stage.events() == ["message.expired"]
    assert stage.history(message_id) == ["queued", "expired"]


def test_a_message_expires_after_two_days_when_nobody_said_otherwise(stage):
    (message_id,) = stage.queue()
    stage.pass_time(hours=47)
    stage.run_housekeeping()
    assert stage.status(message_id) == "queued"
    stage.pass_time(hours=1)
    stage.run_housekeeping()
    assert stage.status(message_id) == "expired"


def test_a_cancelled_message_is_not_handed_out_and_a_handed_out_one_not_cancelled(stage):
    first, second = stage.queue(2)
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.world.crm_id)
        endings.cancel(session, queueing.get(session, crm, first), clock.now())
    (handed,) = stage.poll()
    with stage.world.database.transaction() as session:
        message = queueing.get(session, crms.get(session, stage.world.crm_id), second)
        with pytest.raises(IllegalTransition):
            endings.cancel(session, message, clock.now())
    assert stage.status(first) == "cancelled"
    assert stage.events(first) == ["message.cancelled"]
    assert handed["id"] == stage.dispatches(second)[0].id


def test_an_unconfirmed_one_is_handed_out_again_after_the_lease_with_the_same_id(stage):
    message_id, dispatch_id = stage.send()
    stage.pass_time(seconds=119)
    assert stage.poll() == []
    stage.pass_time(seconds=1)
    assert [one["id"] for one in stage.poll()] == [dispatch_id]
    (dispatch,) = stage.dispatches(message_id)
    assert dispatch.hand_out_count == 2
    assert stage.events() == ["message.dispatched"]


def test_it_is_handed_out_again_to_the_same_device_only(stage):
    other = stage.world.add_device("phone-2")
    stage.send()
    stage.pass_time(hours=1)
    assert stage.poll(headers=other) == []


def test_it_is_not_handed_out_again_to_a_poll_with_twenty_updates(stage):
    stage.send()
    stage.pass_time(seconds=121)
    strangers = [update(f"not-ours-{number}", "SENT") for number in range(20)]
    assert stage.poll(updates=strangers) == []
    assert stage.poll(updates=[*strangers[:19], None]) == []
    assert len(stage.poll(updates=strangers[:19])) == 1


def test_after_five_hand_outs_it_fails_as_unconfirmed(stage):
    message_id, _ = stage.send()
    for _ in range(4):
        stage.pass_time(seconds=120)
        stage.run_housekeeping()
        assert len(stage.poll()) == 1
    stage.pass_time(seconds=119)
    stage.run_housekeeping()
    assert stage.status(message_id) == "dispatched"
    stage.pass_time(seconds=1)
    assert stage.poll() == []
    stage.run_housekeeping()
    message = stage.message(message_id)
    assert (message.status, message.reason_class) == ("failed", "unconfirmed")
    assert stage.events() == ["message.dispatched", "message.failed"]
    stage.pass_time(days=1)
    stage.run_housekeeping()
    assert stage.poll() == []


def test_after_three_days_it_is_never_handed_out_again(stage):
    message_id, _ = stage.send(ttl_seconds=30 * 86400)
    stage.pass_time(days=3)
    assert stage.poll() == []
    stage.run_housekeeping()
    assert stage.message(message_id).reason_class == "unconfirmed"


def test_an_expired_one_is_not_handed_out_again(stage):
    message_id, _ = stage.send(ttl_seconds=130)
    stage.pass_time(seconds=131)
    assert stage.poll() == []
    stage.run_housekeeping()
    assert stage.message(message_id).reason_class == "unconfirmed"


@pytest.mark.parametrize("word", ["UNSENT", "PENDING", "SENT", "DELIVERED", "FAILED", "WEIRD"])
def test_any_report_acknowledges_and_it_is_never_handed_out_again(stage, word):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, word)
    for _ in range(3):
        stage.pass_time(hours=20)
        stage.run_housekeeping()
        assert stage.poll() == []
    assert stage.dispatches(message_id)[0].acknowledged_at == NOW


def test_handing_out_again_respects_the_ten_of_an_answer(stage):
    use(stage, segments_per_minute=1000, in_flight_per_device=30)
    stage.queue(15)
    stage.poll()
    stage.poll()
    stage.pass_time(seconds=121)
    again = stage.poll()
    assert len(again) == 10
    assert len({one["id"] for one in again}) == 10


def test_a_resend_is_a_new_dispatch_with_a_new_id(stage):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED")
    stage.resend(message_id)
    assert stage.status(message_id) == "queued"
    stage.pass_time(seconds=1)
    (handed,) = stage.poll()
    assert handed["id"] != dispatch_id
    stage.report(handed["id"], "SENT")
    assert stage.status(message_id) == "sent"
    assert [dispatch.status for dispatch in stage.dispatches(message_id)] == ["failed", "sent"]


def test_a_resend_of_an_expired_message_lives_as_long_again(stage):
    (message_id,) = stage.queue(ttl_seconds=60)
    stage.pass_time(seconds=61)
    stage.run_housekeeping()
    stage.resend(message_id)
    stage.pass_time(seconds=59)
    assert len(stage.poll()) == 1


def test_what_the_phone_may_have_sent_is_sent_again_only_when_that_is_said(stage):
    unconfirmed, _ = stage.send(ttl_seconds=130)
    stage.pass_time(seconds=131)
    stage.run_housekeeping()
    stuck, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT")
    stage.pass_time(hours=15)
    stage.run_housekeeping()
    assert stage.message(stuck).stuck_at is not None
    for message_id in (unconfirmed, stuck):
        with pytest.raises(IllegalTransition, match="may_duplicate"):
            stage.resend(message_id)
        stage.resend(message_id, anyway=True)
    assert len(stage.poll()) == 2


@pytest.mark.parametrize("words", [[], ["UNSENT"], ["PENDING"], ["SENT"], ["DELIVERED"]])
def test_a_message_that_is_on_its_way_or_has_arrived_cannot_be_resent(stage, words):
    message_id, dispatch_id = stage.send()
    stage.report(dispatch_id, *words)
    with pytest.raises(IllegalTransition):
        stage.resend(message_id, anyway=True)


def test_a_disabled_device_gets_nothing_and_loses_nothing(stage):
    with stage.world.database.transaction() as session:
        registry.get(session, "phone-1").enabled = False
    stage.queue()
    answer = stage.post({"messages": [sms()]})
    assert (answer.status_code, answer.json["error"]) == (403, True)
    assert stage.inbox() == []
    with stage.world.database.transaction() as session:
        registry.get(session, "phone-1").enabled = True
    assert len(stage.poll([sms()])) == 1


def test_two_phones_that_poll_at_once_never_get_the_same_message(stage):
    use(stage, segments_per_minute=1000)
    phones = [stage.world.as_device(), *(stage.world.add_device(f"p{n}") for n in range(3))]
    stage.queue(25)
    barrier = threading.Barrier(len(phones))
    handed = []

    def poll(own):
        barrier.wait()
        handed.extend(stage.poll(headers=own))

    threads = [threading.Thread(target=poll, args=(own,)) for own in phones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in phones:
        handed.extend(stage.poll(headers=own))
    assert len(handed) == len({one["id"] for one in handed}) == 25


def test_two_overlapping_polls_of_one_phone_stay_within_its_window(stage):
    use(stage, segments_per_minute=1000)
    stage.queue(40)
    handed = stage.poll_at_once(4)
    assert len(handed) == len({one["id"] for one in handed}) == 10


def test_an_idle_poll_writes_nothing(stage):
    stage.queue(send_at=NOW + timedelta(days=1))
    with stage.world.database.engine.connect() as watcher:
        before = writes(watcher)
        stage.poll()
        assert writes(watcher) == before
        stage.poll([sms()])
        assert writes(watcher) > before


def writes(watcher):
    """A number that grows with every transaction that writes, seen from another connection."""
    is_sqlite = watcher.dialect.name == "sqlite"
    statement = (
        "pragma data_version"
        if is_sqlite
        else "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    )
    seen = watcher.exec_driver_sql(statement).scalar()
    watcher.rollback()
    return seen


def test_a_full_window_is_idle_too(stage):
    stage.queue(20)
    stage.poll()
    assert not may_take(stage)
    stage.pass_time(seconds=121)
    assert may_take(stage)


def may_take(stage):
    return handing_out.may_take(stage.world.database, "phone-1", stage.world.settings, clock.now())


def test_a_phone_gets_the_messages_behind_those_that_another_one_is_taking(stage):
    other, database = stage.world.add_device("phone-2"), stage.world.database
    for number in range(25):
        stage.queue(content=str(number))
    stage.queue(content="urgent", priority=9)
    if database.is_sqlite:
        first, second = contents(stage.poll()), contents(stage.poll(headers=other))
    else:
        with database.transaction() as session:
            quota = quotas.read(session, "phone-1", stage.world.settings, clock.now())
            taken = device_queue.lock_next(session, "phone-1", quota.due_queues, 10, clock.now())
            first = [session.get_one(Message, row.id).content for row in taken]
            second = contents(stage.poll(headers=other))
    assert first == ["urgent", *map(str, range(9))]
    assert second == [str(number) for number in range(9, 19)]


def test_a_full_poll_takes_no_more_statements_than_a_small_one(stage):
    use(stage, segments_per_minute=1000)
    stage.queue(30)
    first, *others = stage.poll()
    small, handed = exchange(stage, [first])
    full, _ = exchange(stage, others + handed)
    assert 8 < len(full) <= len(small) <= 14


def test_a_poll_that_only_reports_is_asked_once_whether_anything_waits(stage):
    _, dispatch_id = stage.send()
    with noted(stage.world.database) as seen:
        assert stage.poll(updates=[update(dispatch_id, "PENDING")]) == []
    assert 3 < len(seen) <= 6


def test_dispatches_to_hand_out_again_are_read_only_where_the_login_found_some(stage):
    def poll():
        with noted(stage.world.database) as seen:
            handed = stage.poll()
        return handed, [text for text, _ in seen if "FROM dispatches JOIN messages" in text]

    stage.queue()
    first, reads = poll()
    assert (len(first), reads) == (1, [])
    stage.pass_time(seconds=121)
    again, reads = poll()
    assert (again, len(reads)) == (first, 1)


def exchange(stage, handed):
    """One poll with an SMS and two reports for each of these; its statements, and what was handed out."""
    said = [update(one["id"], word) for one in handed for word in ("PENDING", "SENT")]
    with noted(stage.world.database) as seen:
        fresh = stage.poll([sms() for _ in handed], said)
    assert len(fresh) == len(handed)
    return seen, fresh


def test_a_poll_writes_nothing_for_a_message_that_another_phone_is_taking(stage):
    if stage.world.database.is_sqlite:
        pytest.skip("writers come one after another")
    message_id = stage.queue(1)[0]
    with stage.world.database.transaction() as session:
        session.scalars(sa.select(Message).where(Message.id == message_id).with_for_update()).one()
        with noted(stage.world.database) as seen:
            assert stage.poll() == []
    assert not [text for text, _ in seen if not text.startswith("SELECT")]
    assert len(stage.poll()) == 1


def test_what_the_phone_retries_after_a_resend_takes_a_place_in_its_window(stage):
    sent = [stage.send() for _ in range(10)]
    for _, dispatch_id in sent:
        stage.report(dispatch_id, "UNSENT", "PENDING", "FAILED")
    for message_id, _ in sent:
        stage.resend(message_id)
    stage.pass_time(minutes=6)
    stage.queue(10, content="others")
    assert stage.poll(updates=[update(dispatch_id, "UNSENT") for _, dispatch_id in sent]) == []


def test_a_new_phone_under_a_removed_name_does_not_get_what_the_old_one_may_have_sent(stage):
    message_id, _ = stage.send()
    world = stage.world
    with world.database.transaction() as session:
        enrolment.remove(session, registry.get(session, "phone-1"), clock.now())
    message = stage.message(message_id)
    assert (message.status, message.reason_class) == ("failed", "unconfirmed")
    headers = world.add_device("phone-1")
    stage.pass_time(minutes=5)
    assert stage.poll(headers=headers) == []


def test_a_clock_that_is_set_back_holds_up_no_phone(stage):
    use(stage, segments_per_minute=10)
    stage.queue(10)
    for handed in stage.poll():
        stage.report(handed["id"], "UNSENT", "PENDING")
    stage.pass_time(hours=-1)
    stage.queue(3)
    assert len(stage.poll()) == 3


def test_a_server_whose_clock_is_a_little_behind_counts_what_the_other_handed_out(stage):
    use(stage, segments_per_minute=10)
    stage.queue(8)
    stage.poll()
    stage.pass_time(seconds=-30)
    stage.queue(5)
    assert len(stage.poll()) == 2
