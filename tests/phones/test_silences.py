"""A phone that falls silent: it sends nothing, receives nothing or gets no delivery reports, while it did before."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import presence, registry, silence_detection
from smsgw.core.operations import callers
from smsgw.http.context import EXTENSION
from smsgw.store.models import AuditEntry, Device, DeviceSilence, Dispatch

from .. import rows
from .conftest import sms, update
from .test_handing_out import use

DELIVERED = ("UNSENT", "PENDING", "SENT", "DELIVERED")


def watch(stage):
    """What the worker does: it looks who is online and who is silent. Returns how many silences begin or end."""
    world, now = stage.world, clock.now()
    with world.database.transaction() as session:
        world.app.extensions[EXTENSION].last_seen_writer.sightings.write(session)
        presence.announce_changes(session, world.settings, now)
    with world.database.reading() as session:
        if not silence_detection.has_changes(session, world.settings, now):
            return 0
    with world.database.transaction() as session:
        return silence_detection.announce_changes(session, world.settings, now)


def poll_for(stage, minutes, every=1):
    """The phone polls with nothing to report, and the worker does its work."""
    for _ in range(0, minutes, every):
        stage.pass_time(minutes=every)
        stage.poll()
        stage.run_housekeeping()
        watch(stage)


def begin(stage, **settings):
    """A phone that has been online for two minutes."""
    stage.world.settings = replace(stage.world.settings, segments_per_minute=1000, **settings)
    use(stage)
    stage.poll()
    watch(stage)
    poll_for(stage, 2)


def announced(stage):
    """What was announced about silences, oldest first."""
    return [
        (body["type"], body["data"]["device_id"], body["data"]["reason"])
        for body in stage.bodies()
        if body["type"] in ("device.silent", "device.recovered")
    ]


def shown(stage, device_id="phone-1"):
    answer = stage.world.client.get(f"/api/v1/devices/{device_id}", headers=stage.world.as_crm())
    return answer.json["silences"]


def examined(stage):
    with stage.world.database.reading() as session:
        return [
            finding
            for finding in callers.findings(
                session, stage.world.settings, clock.now(), registry.everyone(session)
            )
            if finding.check == "device phone-1" and finding.state != "ok"
        ]


def send(stage, count, words, headers=None, device_id="phone-1"):
    """The phone sends so many messages one after the other, and reports these words of each."""
    for _ in range(count):
        stage.queue(device_id=device_id)
        (handed,) = stage.poll(headers=headers)
        updates = [update(handed["id"], word) for word in words]
        stage.poll(updates=updates, headers=headers)
        stage.pass_time(minutes=1)


def test_a_phone_that_polls_and_never_takes_what_it_is_handed_is_announced_once(stage):
    begin(stage)
    stage.queue(3)
    stage.poll()
    poll_for(stage, 9)
    assert announced(stage) == []
    poll_for(stage, 20)
    assert announced(stage) == [("device.silent", "phone-1", "not_sending")]
    (silence,) = shown(stage)
    assert (silence["reason"], silence["since"]) == ("not_sending", "2026-03-01T12:02:00.000Z")
    assert "has not taken or sent anything since 2026-03-01 12:02 UTC" in silence["text"]


def test_it_has_recovered_when_it_takes_a_message_again_and_not_before(stage):
    begin(stage)
    stage.queue()
    stage.poll()
    poll_for(stage, 20)
    stage.pass_time(hours=1)
    watch(stage)
    poll_for(stage, 20)
    assert announced(stage) == [("device.silent", "phone-1", "not_sending")]
    _, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT")
    assert watch(stage) == 1
    assert announced(stage)[1:] == [("device.recovered", "phone-1", "not_sending")]
    assert shown(stage) == []
    assert watch(stage) == 0


def test_an_event_says_why_since_when_and_what_to_do(stage):
    begin(stage)
    stage.queue()
    stage.poll()
    poll_for(stage, 10)
    (event,) = [body for body in stage.bodies() if body["type"] == "device.silent"]
    data = event["data"]
    assert data["silences"] == [{key: data[key] for key in ("reason", "since", "text")}]
    assert (data["online"], data["since"]) == (True, "2026-03-01T12:02:00.000Z")
    assert "look at the app" in data["text"]


def test_a_phone_that_is_offline_or_was_while_it_had_work_is_not_blamed(stage):
    begin(stage)
    stage.queue()
    stage.poll()
    stage.pass_time(hours=3)
    watch(stage)
    stage.poll()
    watch(stage)
    poll_for(stage, 9)
    assert announced(stage) == []
    poll_for(stage, 1)
    assert announced(stage) == [("device.silent", "phone-1", "not_sending")]


def test_a_phone_without_work_is_not_blamed(stage):
    begin(stage)
    send(stage, 2, DELIVERED)
    poll_for(stage, 128, every=4)
    assert announced(stage) == []


def test_a_phone_that_takes_messages_and_then_moves_none_for_two_hours_is_announced(stage):
    begin(stage)
    _, dispatch_id = stage.send()
    stage.report(dispatch_id, "UNSENT")
    poll_for(stage, 116, every=4)
    assert announced(stage) == []
    poll_for(stage, 4)
    assert announced(stage) == [("device.silent", "phone-1", "not_sending")]
    (finding,) = examined(stage)
    assert finding.state == "wrong"
    assert "has not taken or sent anything since" in finding.text
    assert "device reset phone-1" in finding.advice


def test_a_phone_that_tries_again_by_itself_is_not_blamed(stage):
    begin(stage)
    _, dispatch_id = stage.send()
    for _ in range(3):
        stage.report(dispatch_id, "UNSENT", "PENDING", "UNSENT")
        poll_for(stage, 88, every=4)
    assert announced(stage) == []


def test_a_full_phone_that_moves_nothing_is_announced_after_ten_minutes_and_found_once(stage):
    begin(stage)
    stage.queue(10)
    handed = stage.poll()
    stage.poll(updates=[update(one["id"], "UNSENT") for one in handed])
    poll_for(stage, 9)
    assert announced(stage) == []
    poll_for(stage, 1)
    assert announced(stage) == [("device.silent", "phone-1", "not_sending")]
    (finding,) = examined(stage)
    assert "gets no more until they move" in finding.text


def test_a_reset_ends_it(stage):
    begin(stage)
    stage.queue()
    stage.poll()
    poll_for(stage, 12)
    with stage.world.database.transaction() as session:
        enrolment.reset(session, registry.get(session, "phone-1"), clock.now())
    poll_for(stage, 20)
    assert announced(stage)[1:] == [("device.recovered", "phone-1", "not_sending")]


def test_that_a_phone_comes_online_is_no_change_of_anybody(stage):
    with stage.world.database.reading() as session:
        before = session.scalar(sa.select(sa.func.count(AuditEntry.id)))
    begin(stage)
    assert stage.device().online_since is not None
    with stage.world.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count(AuditEntry.id))) == before


@pytest.mark.parametrize("change", [{"enabled": False}, {"approved": False}])
def test_a_phone_that_may_not_send_is_not_blamed(stage, change):
    begin(stage)
    stage.queue()
    stage.poll()
    with stage.world.database.transaction() as session:
        session.execute(sa.update(Device).values(change))
    for _ in range(20):
        stage.pass_time(minutes=1)
        watch(stage)
    assert announced(stage) == []


def test_a_removed_phone_is_forgotten_without_an_announcement(stage):
    begin(stage)
    stage.queue()
    stage.poll()
    poll_for(stage, 12)
    with stage.world.database.transaction() as session:
        enrolment.remove(session, registry.get(session, "phone-1"), clock.now())
    watch(stage)
    assert announced(stage) == [("device.silent", "phone-1", "not_sending")]
    with stage.world.database.reading() as session:
        assert session.scalars(sa.select(DeviceSilence)).all() == []


def two_that_receive(stage, **settings):
    """Two phones that receive an SMS each day for three days; returns the headers of the second."""
    other = stage.world.add_device("phone-2")
    begin(stage, **settings)
    for _ in range(3):
        stage.poll([sms()])
        stage.poll([sms()], headers=other)
        stage.pass_time(days=1)
    watch(stage)
    return other


def pass_days(stage, count, other=None, words=DELIVERED):
    """For so many days phone-1 sends, and phone-2 receives when its headers are given."""
    for _ in range(count):
        if words:
            send(stage, 1, words)
        if other is not None:
            stage.poll([sms()], headers=other)
        stage.pass_time(days=1)
        watch(stage)


def test_a_phone_that_sends_and_receives_nothing_while_others_do_is_announced_once(stage):
    other = two_that_receive(stage)
    pass_days(stage, 5, other)
    assert announced(stage) == []
    pass_days(stage, 10, other)
    assert announced(stage) == [("device.silent", "phone-1", "not_receiving")]
    (silence,) = shown(stage)
    assert "switch RCS (chat features) off" in silence["text"]
    (finding,) = [one for one in examined(stage) if "received nothing" in one.text]
    assert (finding.state, "RCS" in finding.advice) == ("wrong", True)
    assert shown(stage, "phone-2") == []


def test_it_has_recovered_when_an_sms_comes_in(stage):
    other = two_that_receive(stage)
    pass_days(stage, 10, other)
    stage.poll([sms()])
    assert watch(stage) == 1
    assert announced(stage)[1:] == [("device.recovered", "phone-1", "not_receiving")]
    assert shown(stage) == []


def test_nobody_is_blamed_for_receiving_nothing_where_no_phone_does(stage):
    two_that_receive(stage)
    pass_days(stage, 10)
    assert announced(stage) == []


def test_a_phone_that_sends_nothing_either_is_not_blamed_for_receiving_nothing(stage):
    other = two_that_receive(stage)
    pass_days(stage, 10, other, words=())
    assert announced(stage) == []


def test_a_phone_that_never_received_anything_is_not_blamed_for_it(stage):
    other = stage.world.add_device("phone-2")
    begin(stage)
    pass_days(stage, 10, other)
    assert announced(stage) == []


def test_a_phone_that_rarely_receives_is_not_blamed_before_its_own_time(stage):
    other = stage.world.add_device("phone-2")
    begin(stage)
    stage.poll([sms()])
    pass_days(stage, 6, other)
    stage.poll([sms()])
    pass_days(stage, 11, other)
    assert announced(stage) == []
    pass_days(stage, 2, other)
    assert announced(stage) == [("device.silent", "phone-1", "not_receiving")]


def test_a_setting_says_after_how_many_days_and_zero_says_never(stage):
    other = two_that_receive(stage, silent_receiving_days=3)
    pass_days(stage, 3, other)
    assert announced(stage) == [("device.silent", "phone-1", "not_receiving")]
    stage.world.settings = replace(stage.world.settings, silent_receiving_days=0)
    pass_days(stage, 3, other)
    assert announced(stage)[1:] == [("device.recovered", "phone-1", "not_receiving")]


def test_a_phone_whose_delivery_reports_stop_is_announced_once(stage):
    begin(stage)
    send(stage, 3, DELIVERED)
    send(stage, 19, DELIVERED[:3])
    stage.pass_time(hours=1)
    assert watch(stage) == 0
    send(stage, 1, DELIVERED[:3])
    assert watch(stage) == 0
    stage.pass_time(hours=1)
    assert watch(stage) == 1
    assert watch(stage) == 0
    assert announced(stage) == [("device.silent", "phone-1", "no_delivery_reports")]
    (silence,) = shown(stage)
    assert silence["since"] == "2026-03-01T12:04:00.000Z"
    send(stage, 1, DELIVERED)
    assert watch(stage) == 1
    assert announced(stage)[1:] == [("device.recovered", "phone-1", "no_delivery_reports")]


def test_a_phone_that_never_had_delivery_reports_is_not_blamed_for_it(stage):
    begin(stage)
    send(stage, 30, DELIVERED[:3])
    stage.pass_time(hours=2)
    assert watch(stage) == 0


def test_a_network_that_reports_one_in_four_is_not_blamed(stage):
    begin(stage)
    for _ in range(3):
        send(stage, 1, DELIVERED)
        send(stage, 3, DELIVERED[:3])
    send(stage, 20, DELIVERED[:3])
    stage.pass_time(hours=2)
    assert watch(stage) == 0


def test_a_negative_delivery_report_is_a_report(stage):
    begin(stage)
    send(stage, 1, DELIVERED)
    send(stage, 19, DELIVERED[:3])
    _, dispatch_id = stage.send()
    stage.poll(updates=[update(dispatch_id, word) for word in DELIVERED[:3]])
    stage.report(dispatch_id, "FAILED", reason="Delivery failed; errorCode=1")
    assert stage.events().count("message.failed") == 1
    stage.pass_time(hours=2)
    assert watch(stage) == 0


def test_two_workers_announce_a_silence_once(stage):
    begin(stage)
    stage.queue()
    stage.poll()
    for _ in range(11):
        stage.pass_time(minutes=1)
        stage.poll()
        stage.run_housekeeping()
    with stage.world.database.transaction() as session:
        stage.world.app.extensions[EXTENSION].last_seen_writer.sightings.write(session)
    for expected in (1, 0):
        with stage.world.database.transaction() as session:
            found = silence_detection.announce_changes(session, stage.world.settings, clock.now())
            assert found == expected
    assert len(announced(stage)) == 1


def test_messages_that_a_phone_does_not_fetch_over_its_socket_are_work(stage):
    begin(stage)
    with stage.world.database.transaction() as session:
        session.execute(sa.update(Device).values(protocol="mysmsapio"))
    stage.queue(device_id="phone-1")
    for _ in range(12):
        stage.pass_time(minutes=1)
        with stage.world.database.transaction() as session:
            session.execute(sa.update(Device).values(last_seen_at=clock.now()))
        watch(stage)
    assert announced(stage) == [("device.silent", "phone-1", "not_sending")]


def fill(session, device_id, count):
    """So many messages that a device received, and as many that it was handed."""
    for number in range(count):
        at = clock.now() - timedelta(hours=2, seconds=number)
        for direction in ("inbound", "outbound"):
            message = rows.message(
                f"{direction}-{device_id}-{number:04}",
                "received" if direction == "inbound" else "sent",
                at,
                direction=direction,
                device_id=device_id,
            )
            session.add(message)
        session.flush()
        session.add(
            Dispatch(
                id=f"{device_id}-{number}",
                message_id=message.id,
                device_id=device_id,
                status="sent",
                status_at=at,
                segments=1,
                hand_out_count=1,
                handed_out_at=at,
                last_handed_out_at=at,
                lease_until=at,
            )
        )


def test_the_statements_read_a_few_rows_by_an_index(stage):
    database = stage.world.database
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    stage.world.add_device("phone-2")
    with database.transaction() as session:
        fill(session, "phone-1", 5)
        fill(session, "phone-2", 400)
        session.execute(sa.text("ANALYZE"))
    queries = (
        (silence_detection._NEWEST, "ix_dispatches_device_id_last_handed_out_at", {}),
        (
            silence_detection._OLD_ENOUGH,
            "ix_dispatches_device_id_last_handed_out_at",
            {"until": clock.now()},
        ),
        (silence_detection._RECEIVED, "ix_messages_inbound_device_id_id", {}),
    )
    with database.reading() as session:
        for query, index, more in queries:
            values = {"device_id": "phone-1", **more}
            compiled = query.compiled(database.engine.dialect, values)
            found = session.connection().exec_driver_sql(
                explain + compiled.text, compiled.bind(values)
            )
            plan = " ".join(map(str, found))
            assert index in plan
            assert "Seq Scan" not in plan
            assert "TEMP B-TREE" not in plan
            assert len(query.all(session, **values)) == 5
