"""What was queued together and is paused: no phone gets it, whatever else happens, until it is resumed."""

from datetime import timedelta

import pytest

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.devices import sockets
from smsgw.core.messages import bulks, held, pausing, reading
from smsgw.core.messages.bulks import NewBulk
from smsgw.store.models import Bulk

from .conftest import Stage, update
from .test_handing_out import contents

REFUSED = "unknown; resultCode=5"


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "STEP", 2)


def bulk_of(stage: Stage, count: int, **draft: object) -> list[str]:
    ids = [stage.queue(content=f"row {row}", **draft)[0] for row in range(count)]
    with stage.world.database.transaction() as session:
        new = NewBulk("blk_1", stage.world.crm_id, "list", "eve", None, count, count, clock.now())
        bulks.begin(session, new)
        bulks.add_rows(session, "blk_1", 0, ids)
    return ids


def pause(stage: Stage) -> bool:
    with stage.world.database.transaction() as session:
        return pausing.pause(session, session.get_one(Bulk, "blk_1"), "eve", clock.now())


def resume(stage: Stage) -> bool:
    with stage.world.database.transaction() as session:
        return pausing.resume(session, session.get_one(Bulk, "blk_1"))


def move(stage: Stage, most: int = 100) -> None:
    """What the request does, or a worker after it was stopped."""
    for _ in range(most):
        with stage.world.database.transaction() as session:
            if not pausing.move_next(session, clock.now()):
                return


def stop(stage: Stage) -> None:
    pause(stage)
    move(stage)


def go_on(stage: Stage) -> None:
    resume(stage)
    move(stage)


def waits_for(stage: Stage, message_id: str) -> str:
    with stage.world.database.reading() as session:
        message = reading.get(session, None, message_id)
        shape = reading.whole_shape(session, message, stage.world.settings, clock.now())
    return str(shape["waiting_for"]["hop"])


def test_no_phone_gets_what_is_paused_until_it_is_resumed_in_the_order_of_its_rows(stage):
    ids = bulk_of(stage, 5)
    stop(stage)
    stage.queue(content="other")
    assert contents(stage.poll()) == ["other"]
    assert {waits_for(stage, one) for one in ids} == {"paused"}
    with stage.world.database.reading() as session:
        assert sockets.waiting(session, ["phone-1"], clock.now()) == set()
    go_on(stage)
    with stage.world.database.reading() as session:
        assert sockets.waiting(session, ["phone-1"], clock.now()) == {"phone-1"}
    assert contents(stage.poll()) == [f"row {row}" for row in range(5)]


def test_what_was_interrupted_while_it_was_paused_is_paused_by_the_worker(stage):
    bulk_of(stage, 5)
    assert pause(stage)
    move(stage, 1)
    assert pausing.has_more(stage.world.database, clock.now())
    move(stage)
    assert not pausing.has_more(stage.world.database, clock.now())
    assert stage.poll() == []


def test_of_two_who_pause_and_resume_at_once_the_last_has_its_way_and_a_second_click_changes_nothing(
    stage,
):
    bulk_of(stage, 5)
    assert (pause(stage), pause(stage)) == (True, False)
    move(stage, 2)
    assert (resume(stage), resume(stage)) == (True, False)
    # The steps of the first go on, and do what the second wants.
    move(stage)
    assert len(stage.poll()) == 5


def test_what_a_phone_has_goes_its_way_and_stays_here_where_the_phone_did_not_send_it(stage):
    ids = bulk_of(stage, 2)
    first, second = stage.poll()
    stop(stage)
    stage.poll(updates=[update(first["id"], "SENT")])
    stage.poll(updates=[update(second["id"], "FAILED", REFUSED)])
    assert [stage.status(one) for one in ids] == ["sent", "queued"]
    stage.pass_time(hours=1)
    assert stage.poll() == []
    assert waits_for(stage, ids[1]) == "paused"
    go_on(stage)
    assert contents(stage.poll()) == ["row 1"]


def test_what_is_resent_while_its_bulk_is_paused_stays_paused(stage):
    (message_id,) = bulk_of(stage, 1)
    (handed,) = stage.poll()
    stage.poll(updates=[update(handed["id"], "FAILED", "generic; errorCode=1")])
    stop(stage)
    stage.resend(message_id)
    assert stage.poll() == []
    assert waits_for(stage, message_id) == "paused"


def test_what_is_paused_expires_is_cancelled_and_opts_out_as_all_else(stage):
    ids = bulk_of(stage, 3)
    stop(stage)
    client, headers = stage.world.client, stage.world.as_crm()
    client.delete(f"/api/v1/messages/{ids[0]}", headers=headers)
    client.post("/api/v1/opt-outs", json={"number": "+12025550123"}, headers=headers)
    assert [stage.status(one) for one in ids] == ["cancelled", "failed", "failed"]


def test_the_time_of_what_is_paused_goes_on(stage):
    (message_id,) = bulk_of(stage, 1, send_at=clock.now() + timedelta(hours=1))
    stop(stage)
    stage.pass_time(hours=2)
    assert stage.poll() == []
    stage.pass_time(days=3)
    stage.run_housekeeping()
    assert stage.status(message_id) == "expired"


def test_releasing_after_a_restore_resumes_nothing_and_resuming_releases_nothing(stage):
    ids = bulk_of(stage, 2)

    def hold() -> None:
        with stage.world.database.transaction() as session:
            held.hold_all(session, clock.now())

    def release() -> None:
        with stage.world.database.transaction() as session:
            held.release(session, clock.now())

    stop(stage)
    hold()
    assert waits_for(stage, ids[0]) == "held"
    release()
    assert (waits_for(stage, ids[0]), stage.poll()) == ("paused", [])
    hold()
    go_on(stage)
    assert (waits_for(stage, ids[0]), stage.poll()) == ("held", [])
    stop(stage)
    go_on(stage)
    release()
    assert len(stage.poll()) == 2


def test_what_is_paused_for_a_device_that_its_crm_loses_is_cancelled_and_counts_for_it_before(
    stage,
):
    (message_id,) = bulk_of(stage, 1, device_id="phone-1")
    stop(stage)
    device = stage.world.client.get("/api/v1/devices/phone-1", headers=stage.world.as_crm())
    assert device.json["queued_count"] == 1
    with stage.world.database.transaction() as session:
        crms.route(session, crms.get(session, stage.world.crm_id), [], clock.now())
    assert stage.status(message_id) == "cancelled"
