"""What to do about a message, wherever it is, and that `doctor` says the same where it finds the same."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.devices import registry
from smsgw.core.messages import endings, held, next_steps, pausing, reading
from smsgw.core.operations import doctor
from smsgw.http.context import EXTENSION
from smsgw.sms import reasons
from smsgw.store.models import Crm, Message

from ..conftest import NOW
from .conftest import update
from .test_handing_out import use
from .test_limits import limit, see


def explained(stage, message_id):
    """Where the message is, or its status once it has ended, and what to do."""
    settings = stage.world.app.extensions[EXTENSION].settings
    with stage.world.database.reading() as session:
        message = reading.get(session, None, message_id)
        shape, step = reading.explained(session, message, settings, clock.now())
    waiting = shape["waiting_for"]
    return waiting["hop"] if waiting else shape["status"], step


def found(stage, check):
    """What `doctor` says about something: its texts, and what to do."""
    settings = stage.world.app.extensions[EXTENSION].settings
    findings = doctor.examine(stage.world.database, settings, clock.now())
    return [(one.text, one.step) for one in findings if one.check == check and one.state != "ok"]


def change(stage, **values):
    with stage.world.database.transaction() as session:
        for name, value in values.items():
            setattr(registry.get(session, "phone-1"), name, value)


def advice(stage, message_id, hop):
    place, step = explained(stage, message_id)
    assert place == hop
    return step


def test_a_phone_that_never_polled_is_set_up_and_doctor_says_the_same(stage):
    (message_id,) = stage.queue()
    step = advice(stage, message_id, "device")
    assert step.text.startswith("type its URL into the phone's app")
    assert step in [each for _, each in found(stage, "device phone-1")]


def test_a_silent_phone_is_looked_at_wherever_its_message_is(stage):
    (queued,) = stage.queue()
    handed = stage.poll()
    see(stage)
    (waiting,) = stage.queue()
    stage.pass_time(minutes=10)
    (absent,) = [step for _, step in found(stage, "device phone-1")]
    assert absent.text.startswith("is it on and online?")
    assert advice(stage, queued, "confirmation") == absent
    assert advice(stage, waiting, "device") == absent
    stage.poll(updates=[update(handed[0]["id"], "SENT")])
    see(stage)
    stage.pass_time(minutes=10)
    assert advice(stage, queued, "delivery_report") == absent


def test_what_waits_for_a_disabled_phone_is_named_at_once_with_the_command_that_enables_it(stage):
    see(stage)
    (only_it,) = stage.queue(device_id="phone-1")
    (any_phone,) = stage.queue()
    change(stage, enabled=False)
    step = advice(stage, only_it, "device")
    assert step.text.endswith("device enable phone-1")
    assert advice(stage, any_phone, "device") == step
    ((text, its),) = found(stage, "device phone-1")
    assert text.startswith("is disabled, and 1 message has waited since 2026-03-01 12:00 UTC")
    ((of_crm, its_crms),) = found(stage, "crm clinic")
    assert "1 message has waited" in of_crm
    assert of_crm.endswith("all phones that it may use are disabled: phone-1")
    assert its == its_crms == step


def test_what_a_disabled_crm_has_queued_and_what_no_phone_may_send_is_named(stage):
    see(stage)
    (message_id,) = stage.queue()
    with stage.world.database.transaction() as session:
        crms.get(session, stage.world.crm_id).enabled = False
    step = advice(stage, message_id, "device")
    assert step.text.endswith("crm enable clinic")
    stage.pass_time(minutes=2)
    see(stage)
    assert [each for _, each in found(stage, "crm clinic")] == [step]
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.world.crm_id)
        crm.enabled, crm.uses_all_devices = True, False
    step = advice(stage, message_id, "device")
    assert "crm route clinic --device ID" in step.text
    ((text, its),) = found(stage, "crm clinic")
    assert (text.endswith("it may use no phone"), its) == (True, step)


def test_the_name_of_a_crm_is_quoted_in_a_command():
    assert next_steps.enable_crm(Crm(name="two words")).text.endswith("crm enable 'two words'")
    assert "crm route 'two words' " in next_steps.route_phone(Crm(name="two words")).text


def test_a_limit_and_a_pause_lead_to_the_commands_that_end_them(stage):
    limit(stage, segments_per_hour=1)
    first, second = stage.queue()[0], stage.queue()[0]
    handed = stage.poll()
    see(stage)
    step = advice(stage, second, "limit")
    assert "device limit phone-1" in step.text
    assert [each for _, each in found(stage, "device phone-1")] == [step]
    stage.report(handed[0]["id"], "FAILED", reason="no credit")
    see(stage)
    step = advice(stage, second, "limit")
    assert "device resume phone-1" in step.text
    assert step in [each for _, each in found(stage, "device phone-1")]
    assert f"resend {first}" in advice(stage, first, "failed").text


def test_held_paused_and_scheduled_messages_name_who_lets_them_go(stage):
    held_id, paused_id = stage.queue()[0], stage.queue(to="+12025550124")[0]
    (later,) = stage.queue(send_at=NOW + timedelta(hours=1))
    with stage.world.database.transaction() as session:
        pausing.pause_messages(session, [paused_id], clock.now())
    assert "page Bulk" in advice(stage, paused_id, "paused").text
    assert f"cancel {later}" in advice(stage, later, "schedule").text
    with stage.world.database.transaction() as session:
        held.hold_all(session, clock.now())
    step = advice(stage, held_id, "held")
    assert f"cancel {held_id}" in step.text
    assert "release" in step.text
    ((_, its),) = found(stage, "held messages")
    assert its.text.endswith(step.text.replace(held_id, "ID"))


def test_a_whole_hand_and_what_the_phone_has_lead_to_the_app(stage):
    use(stage, in_flight_per_device=1)
    (in_hand,) = stage.queue()
    handed = stage.poll()
    (waiting,) = stage.queue()
    see(stage)
    for message_id, hop in ((waiting, "device"), (in_hand, "confirmation")):
        assert "device reset phone-1" in advice(stage, message_id, hop).text
    stage.report(handed[0]["id"], "UNSENT")
    see(stage)
    assert "device reset phone-1" in advice(stage, in_hand, "phone").text
    stage.report(handed[0]["id"], "PENDING")
    assert advice(stage, in_hand, "network").text.startswith("nothing")
    stage.report(handed[0]["id"], "UNSENT")
    see(stage)
    assert "reception" in advice(stage, in_hand, "radio").text
    stage.pass_time(hours=30)
    stage.run_housekeeping()
    see(stage)
    assert f"resend {in_hand} --may-duplicate" in explained(stage, in_hand)[1].text


CLASSES = [
    ("no-service", "temporary", "resend msg_"),
    ("radio-off", "temporary", "flight mode"),
    ("destination.invalid", "permanent", "compare the number"),
    ("unknown; resultCode=6", "permanent", "fixed numbers"),
    ("unknown; resultCode=7", "permanent", "premium"),
    ("unknown; resultCode=5", "limit", "resend msg_"),
    ("generic; no errorCode supplied", "unknown", "resend msg_"),
    ("Delivery failed: SM Validity Period Expired", "permanent", "out of reach"),
    ("nobody knows this", "unknown", "resend msg_"),
    ("the phone never confirmed it", "unconfirmed", "--may-duplicate"),
    (reasons.OVERSIZED, "limit", "shorten"),
    (reasons.OPTED_OUT, "permanent", "opt-out remove +12025550123"),
]


@pytest.mark.parametrize(("reason", "reason_class", "words"), CLASSES)
def test_a_failed_message_says_what_to_do_for_each_reason(stage, reason, reason_class, words):
    (message_id,) = stage.queue()
    values = {"status": "failed", "reason": reason, "reason_class": reason_class}
    with stage.world.database.transaction() as session:
        session.execute(sa.update(Message).values(**values))
    step = advice(stage, message_id, "failed")
    assert words in step.text
    assert "smsgw" not in step.page
    with stage.world.database.transaction() as session:
        session.execute(sa.update(Message).values(content=None, reason_class="temporary"))
    assert "cannot be sent again" in explained(stage, message_id)[1].text


def test_a_message_that_ended_otherwise_says_whether_it_can_be_sent_again(stage):
    (expired,), (cancelled,) = stage.queue(), stage.queue(to="+12025550124")
    with stage.world.database.transaction() as session:
        message = reading.get(session, None, cancelled)
        endings.cancel(session, message, NOW)
    assert "queue it anew" in explained(stage, cancelled)[1].text
    stage.pass_time(days=3)
    stage.run_housekeeping()
    assert f"resend {expired}" in advice(stage, expired, "expired").text
    message_id, dispatch_id = stage.send(to="+12025550125")
    stage.report(dispatch_id, "DELIVERED")
    assert explained(stage, message_id) == ("delivered", None)
