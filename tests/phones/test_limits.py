"""How much a phone is handed: segments per minute, hour and day, and recipients per calendar month."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.devices import monthly_recipients, registry
from smsgw.core.messages import reading
from smsgw.core.operations import doctor
from smsgw.store.models import DeviceRecipient, Dispatch, Message

from ..conftest import NOW
from ..purging import purge
from .conftest import update
from .test_handing_out import contents, use

FAST = {"segments_per_minute": 1000, "in_flight_per_device": 1000}


def limit(stage, device_id="phone-1", **wanted):
    with stage.world.database.transaction() as session:
        device = registry.get(session, device_id)
        settings = stage.world.app.extensions["smsgw"].settings
        monthly_recipients.change_limits(session, device, wanted, settings, clock.now())


def see(stage, device_id="phone-1"):
    # What was noted at earlier polls would be written over this some seconds later.
    stage.world.app.extensions["smsgw"].last_seen_writer.write()
    with stage.world.database.transaction() as session:
        registry.get(session, device_id).last_seen_at = clock.now()


def ids_of(handed):
    return {message["id"] for message in handed}


def take(stage, headers=None):
    """A poll whose messages are all sent before the next."""
    handed = stage.poll(headers=headers)
    stage.poll(updates=[update(one["id"], "SENT") for one in handed], headers=headers)
    return contents(handed)


def queue_to(stage, *numbers, **draft):
    return [
        stage.queue(to=f"+1202555{number:04}", content=str(number), **draft)[0]
        for number in numbers
    ]


def shape(stage, device_id="phone-1"):
    settings = stage.world.app.extensions["smsgw"].settings
    with stage.world.database.reading() as session:
        device = registry.get(session, device_id)
        return registry.shapes(session, [device], settings, clock.now())[0]


def used(stage, name, device_id="phone-1"):
    return shape(stage, device_id)["usage"][name]["used"]


def waiting_for(stage, message_id):
    settings = stage.world.app.extensions["smsgw"].settings
    with stage.world.database.reading() as session:
        message = reading.get(session, None, message_id)
        return reading.whole_shape(session, message, settings, clock.now())["waiting_for"]


@pytest.mark.parametrize(
    ("name", "span"),
    [("segments_per_hour", timedelta(hours=1)), ("segments_per_day", timedelta(days=1))],
)
@pytest.mark.parametrize("is_own", [True, False])
def test_segments_are_limited_in_every_window_of_that_length(stage, name, span, is_own):
    use(stage, **FAST, **({} if is_own else {name: 3}))
    if is_own:
        limit(stage, **{name: 3})
    stage.queue(6, content="x" * 200, expires_at=NOW + timedelta(days=3))
    assert take(stage) == ["x" * 200]
    assert stage.poll() == []
    stage.queue(1, content="short", priority=9)
    stage.pass_time(minutes=20)
    assert take(stage) == ["short"]
    stage.pass_time(seconds=(span - timedelta(minutes=20)).total_seconds() - 1)
    assert stage.poll() == []
    stage.pass_time(seconds=1)
    assert take(stage) == ["x" * 200]
    assert used(stage, name) == 3


def test_a_limit_of_a_device_counts_before_the_setting_in_both_directions(stage):
    other = stage.world.add_device("phone-2")
    use(stage, **FAST, segments_per_hour=2)
    limit(stage, segments_per_hour=3)
    limit(stage, "phone-2", segments_per_hour=1)
    stage.queue(6)
    assert len(stage.poll()) == 3
    assert len(stage.poll(headers=other)) == 1
    limit(stage, "phone-2", segments_per_hour=None)
    assert len(stage.poll(headers=other)) == 1


def test_a_device_may_have_a_pace_of_its_own(stage):
    limit(stage, segments_per_minute=2)
    stage.queue(3)
    assert len(stage.poll()) == 2
    stage.pass_time(seconds=61)
    assert len(stage.poll()) == 1


def test_what_does_not_fit_on_one_phone_goes_to_another_that_the_crm_may_use(stage):
    other = stage.world.add_device("phone-2")
    strangers = stage.world.add_device("phone-3")
    use(stage, **FAST)
    limit(stage, segments_per_day=2)
    crm_id, _ = stage.world.add_crm("some", ["phone-1", "phone-2"])
    stage.queue(5, crm=crm_id)
    stage.queue(1, crm=crm_id, device_id="phone-1", content="named")
    assert len(stage.poll()) == 2
    assert stage.poll(headers=strangers) == []
    assert len(stage.poll(headers=other)) == 3
    assert stage.poll(headers=other) == []


def test_waiting_for_says_which_limit_it_is_and_until_when(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=3)
    see(stage)
    stage.queue(3)
    take(stage)
    stage.pass_time(minutes=10)
    see(stage)
    (message_id,) = stage.queue(content="x" * 200)
    waits = waiting_for(stage, message_id)
    assert (waits["hop"], waits["device_id"]) == ("limit", "phone-1")
    assert waits["until"] == "2026-03-01T13:00:00.000Z"
    assert "has used 3 of 3 segments in the last 60 minutes" in waits["text"]
    stage.pass_time(minutes=50)
    see(stage)
    assert waiting_for(stage, message_id)["hop"] == "device"
    assert len(stage.poll()) == 1


def test_until_is_when_enough_segments_have_left_the_window(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=3)
    for _ in range(3):
        stage.queue()
        take(stage)
        stage.pass_time(minutes=10)
    see(stage)
    (long_one,) = stage.queue(content="x" * 200)
    (short_one,) = stage.queue()
    assert waiting_for(stage, short_one)["until"] == "2026-03-01T13:00:00.000Z"
    assert waiting_for(stage, long_one)["until"] == "2026-03-01T13:10:00.000Z"


def test_of_several_phones_the_one_that_is_free_first_is_named(stage):
    other = stage.world.add_device("phone-2")
    use(stage, **FAST, segments_per_hour=1)
    stage.queue(3)
    stage.poll()
    stage.pass_time(minutes=10)
    stage.poll(headers=other)
    see(stage)
    see(stage, "phone-2")
    (message_id,) = stage.queue()
    waits = waiting_for(stage, message_id)
    assert (waits["device_id"], waits["until"]) == ("phone-1", "2026-03-01T13:00:00.000Z")
    limit(stage, "phone-2", segments_per_hour=2)
    assert waiting_for(stage, message_id)["hop"] == "device"


def test_what_is_handed_out_again_counts_once_and_is_not_held_up_by_the_hour(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=2, segments_per_day=2, recipients_per_month=1)
    stage.queue(3)
    first = ids_of(stage.poll())
    stage.pass_time(minutes=3)
    assert ids_of(stage.poll()) == first
    assert used(stage, "segments_per_hour") == 2
    assert used(stage, "recipients_per_month") == 1


def test_what_is_handed_out_again_after_the_hour_counts_in_the_new_one(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=2)
    stage.queue(4)
    first = ids_of(stage.poll())
    stage.pass_time(minutes=90)
    assert ids_of(stage.poll()) == first
    assert stage.poll() == []
    assert used(stage, "segments_per_hour") == 2


def test_what_failed_counts_as_handed_out(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=1, recipients_per_month=1)
    _, dispatch_id = stage.send()
    stage.report(dispatch_id, "FAILED", reason="destination.invalid")
    queue_to(stage, 7)
    assert stage.poll() == []
    assert used(stage, "segments_per_hour") == used(stage, "recipients_per_month") == 1


def test_recipients_are_limited_in_the_calendar_month_and_those_known_already_go_on(stage):
    use(stage, **FAST)
    limit(stage, recipients_per_month=2)
    far = NOW + timedelta(days=60)
    queue_to(stage, 1, 2, 3, 1, 4, 2, expires_at=far)
    assert contents(stage.poll()) == ["1", "2", "1", "2"]
    assert stage.poll() == []
    queue_to(stage, 2, expires_at=far)
    assert contents(stage.poll()) == ["2"]
    assert used(stage, "recipients_per_month") == 2
    stage.traveller.move_to(datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC))
    assert stage.poll() == []
    stage.pass_time(seconds=1)
    assert contents(stage.poll()) == ["3", "4"]
    assert used(stage, "recipients_per_month") == 2


def test_a_known_recipient_is_found_behind_any_number_of_others(stage):
    use(stage, **FAST)
    limit(stage, recipients_per_month=1)
    queue_to(stage, 1)
    stage.poll()
    queue_to(stage, *range(100, 150))
    queue_to(stage, 1, priority=0)
    assert contents(stage.poll()) == ["1"]
    assert stage.poll() == []


def test_a_poll_that_a_month_keeps_waiting_writes_nothing(stage):
    use(stage, **FAST)
    limit(stage, recipients_per_month=1)
    queue_to(stage, 1)
    stage.poll()
    queue_to(stage, 2)
    stage.poll()
    revision = stage.device().revision
    assert stage.poll() == []
    assert stage.device().revision == revision


def test_recipients_of_the_month_count_also_from_before_the_limit_was_set(stage):
    use(stage, **FAST)
    queue_to(stage, 1, 2, 2)
    stage.poll()
    limit(stage, recipients_per_month=3)
    assert used(stage, "recipients_per_month") == 2
    queue_to(stage, 3, 4, 1)
    assert contents(stage.poll()) == ["3", "1"]
    limit(stage, recipients_per_month=None)
    assert contents(stage.poll()) == ["4"]
    limit(stage, recipients_per_month=4)
    assert used(stage, "recipients_per_month") == 4
    queue_to(stage, 5, 4)
    assert contents(stage.poll()) == ["4"]


def test_a_long_month_is_counted_in_steps_and_until_then_only_known_numbers_are_sent_to(
    stage, monkeypatch: pytest.MonkeyPatch
):
    use(stage, **FAST)
    queue_to(stage, *range(1, 8))
    stage.poll()
    monkeypatch.setattr(monthly_recipients, "COUNTED_AT_ONCE", 3)
    # Those of one poll were handed out at one moment.
    with stage.world.database.transaction() as session:
        of_message = Dispatch.message_id == Message.id
        rows = session.scalars(
            sa.select(Dispatch).join(Message, of_message).order_by(Message.to_number)
        )
        for number, row in enumerate(rows.all()):
            row.last_handed_out_at += timedelta(seconds=number)
    limit(stage, recipients_per_month=8)
    assert used(stage, "recipients_per_month") == 3
    new, _ = queue_to(stage, 50, 1)
    assert contents(stage.poll()) == ["1"]
    see(stage)
    waiting = waiting_for(stage, new)
    assert (waiting["hop"], "are counted" in waiting["text"]) == ("limit", True)
    for expected in (1, 1, 0):
        database, settings, now = stage.world.database, stage.world.settings, clock.now()
        assert monthly_recipients.has_uncounted(database, settings, now) == bool(expected)
        with database.transaction() as session:
            assert monthly_recipients.count_next(session, settings, now) == expected
    assert used(stage, "recipients_per_month") == 7
    queue_to(stage, 51)
    assert contents(stage.poll()) == ["50"]
    assert used(stage, "recipients_per_month") == 8


def test_a_retention_time_makes_no_used_count_smaller_and_leaves_no_number(stage):
    use(stage, **FAST)
    limit(stage, recipients_per_month=1, segments_per_day=10)
    _, dispatch_id = stage.send(to="+12025550001")
    stage.report(dispatch_id, "SENT")
    settings = replace(stage.world.settings, retention_days=1)
    stage.pass_time(hours=23)
    assert used(stage, "segments_per_day") == 1
    stage.pass_time(hours=2)
    with stage.world.database.transaction() as session:
        assert purge(session, settings, clock.now()) > 0
        monthly_recipients.forget(session, clock.now())
    assert used(stage, "recipients_per_month") == 1
    queue_to(stage, 2, 1)
    assert contents(stage.poll()) == ["1"]
    with stage.world.database.reading() as session:
        assert "12025550001" not in str(session.execute(sa.select(DeviceRecipient.recipient)).all())


def test_the_recipients_of_past_months_are_forgotten_a_day_later(stage):
    use(stage, **FAST)
    limit(stage, recipients_per_month=10)
    stage.send()
    counts = []
    for moment in (datetime(2026, 4, 1, 12, tzinfo=UTC), datetime(2026, 4, 2, 12, tzinfo=UTC)):
        stage.traveller.move_to(moment)
        with stage.world.database.transaction() as session:
            counts.append(monthly_recipients.forget(session, clock.now()))
    assert counts == [0, 1]


def test_waiting_for_says_when_the_month_ends(stage):
    use(stage, **FAST)
    limit(stage, recipients_per_month=1)
    see(stage)
    stage.send(to="+12025550001")
    new, known = queue_to(stage, 2, 1)
    waits = waiting_for(stage, new)
    assert (waits["hop"], waits["until"]) == ("limit", "2026-04-01T00:00:00.000Z")
    assert "has used 1 of 1 recipients this month" in waits["text"]
    assert waiting_for(stage, known)["hop"] == "device"


def test_a_message_larger_than_a_limit_fails_for_it_and_holds_up_nothing(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=3)
    (large,) = stage.queue(device_id="phone-1", content="x" * 700)
    stage.queue(content="open " + "x" * 700)
    stage.queue(content="short")
    assert contents(stage.poll()) == ["short"]
    message = stage.message(large)
    assert (message.status, message.reason_class) == ("failed", "limit")
    assert "more segments" in message.reason
    assert stage.history(large) == ["queued", "failed"]
    assert stage.events(large) == ["message.failed"]


def test_a_message_larger_than_one_phones_limit_waits_for_another_and_holds_up_nothing(stage):
    other = stage.world.add_device("phone-2")
    use(stage, **FAST)
    limit(stage, segments_per_day=3)
    (large,) = stage.queue(content="x" * 700)
    stage.queue(content="short")
    assert contents(stage.poll()) == ["short"]
    assert stage.status(large) == "queued"
    assert contents(stage.poll(headers=other)) == ["x" * 700]


def test_a_message_larger_than_all_its_phones_limits_fails(stage):
    stage.world.add_device("phone-2")
    use(stage, **FAST, segments_per_day=4)
    limit(stage, "phone-2", segments_per_hour=3)
    (large,) = stage.queue(content="x" * 700)
    assert stage.poll() == []
    assert stage.status(large) == "failed"


def test_two_polls_at_once_together_get_no_more_than_the_limit(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=5, recipients_per_month=5)
    queue_to(stage, *range(20))
    handed = stage.poll_at_once(4)
    assert len(handed) == 5
    assert used(stage, "recipients_per_month") == 5


def test_an_idle_poll_asks_for_no_limit(stage, monkeypatch):
    limit(stage, segments_per_hour=1, recipients_per_month=1)
    monkeypatch.setattr("smsgw.core.devices.quotas.read", None)
    assert stage.poll() == []


def test_a_lowered_limit_counts_at_once_and_a_raised_one_too(stage):
    use(stage, **FAST)
    limit(stage, segments_per_hour=5)
    stage.queue(10)
    assert len(stage.poll()) == 5
    limit(stage, segments_per_hour=2)
    assert shape(stage)["usage"]["segments_per_hour"] == {"limit": 2, "used": 5}
    assert stage.poll() == []
    limit(stage, segments_per_hour=7)
    assert len(stage.poll()) == 2


def test_a_clock_that_is_set_back_counts_no_less(stage):
    use(stage, **FAST)
    limit(stage, segments_per_day=2)
    stage.queue(4)
    stage.poll()
    stage.pass_time(hours=-1)
    assert stage.poll() == []


def test_the_doctor_says_which_phone_has_used_up_a_limit(stage):
    use(stage, **FAST)
    limit(stage, segments_per_day=1)
    stage.send()
    with stage.world.database.reading() as session:
        found = [
            one
            for one in doctor.of_work(
                session, stage.world.settings, clock.now(), registry.everyone(session)
            )
            if one.check == "device phone-1" and one.state == "warning"
        ]
    (finding,) = found
    assert "has used 1 of 1 segments in the last 24 hours" in finding.text
    assert "2026-03-02 12:00 UTC" in finding.text
    assert "device limit phone-1" in finding.advice
