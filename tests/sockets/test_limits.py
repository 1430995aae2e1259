"""The limits of a device of the CRM WebSocket API, and its pause after failures."""

from smsgw import clock
from smsgw.core.devices import limits, registry
from smsgw.store.models import Dispatch

from .conftest import Stage, frames_of, say


def _limit(stage: Stage, **wanted: int) -> None:
    with stage.world.database.transaction() as session:
        limits.change(registry.get(session, "12345"), wanted)


def _ordered(phone) -> list[dict]:
    return [data for event, data in frames_of(phone.work()) if event == "sendMessage"]


def _report(phone, message_id: str, status: str, **more: str) -> None:
    data = {"messageId": message_id, "status": status, **more}
    say(phone, {"event": "messageStatus", "data": data})


def test_a_socket_is_sent_no_more_than_the_limits_allow(stage: Stage):
    _limit(stage, segments_per_hour=2)
    phone = stage.device()
    phone.opened()
    for number in range(3):
        stage.queue(str(number))
    first = _ordered(phone)
    assert [data["content"] for data in first] == ["0", "1"]
    for data in first:
        _report(phone, data["messageId"], "SENT")
    stage.pass_time(minutes=59)
    assert _ordered(phone) == []
    stage.pass_time(minutes=1)
    assert [data["content"] for data in _ordered(phone)] == ["2"]


def test_a_device_that_says_limit_exceeded_is_paused_and_its_sms_goes_out_after_that(stage: Stage):
    phone = stage.device()
    phone.opened()
    message_ids = [stage.queue(str(number)) for number in range(3)]
    for data in _ordered(phone):
        _report(phone, data["messageId"], "FAILED", error="RESULT_ERROR_LIMIT_EXCEEDED")
    assert _ordered(phone) == []
    paths = [f"/messages/{message_id}" for message_id in message_ids]
    answers = [stage.call("GET", path, key=stage.crm_key).json for path in paths]
    assert {answer["status"] for answer in answers} == {"QUEUED"}
    stage.pass_time(minutes=5)
    (tried,) = _ordered(phone)
    _report(phone, tried["messageId"], "SENT")
    assert len(_ordered(phone)) == 2


def test_what_a_socket_was_sent_twice_may_have_gone_out_and_fails(stage: Stage):
    phone = stage.device()
    phone.opened()
    message_id = stage.queue()
    (data,) = _ordered(phone)
    with stage.world.database.transaction() as session:
        # By an earlier version.
        session.get_one(Dispatch, data["messageId"]).hand_out_count = 2
    _report(phone, data["messageId"], "FAILED", error="RESULT_ERROR_LIMIT_EXCEEDED")
    answer = stage.call("GET", f"/messages/{message_id}", key=stage.crm_key).json
    assert answer["status"] == "FAILED"


def test_a_crm_is_sent_no_frame_for_a_limited_device_and_reads_it_in_the_feed(stage: Stage):
    phone = stage.device()
    phone.opened()
    stage.queue()
    (data,) = _ordered(phone)
    _report(phone, data["messageId"], "FAILED", error="insufficient credit")
    crm = stage.crm(after="evt_" + 32 * "0")
    events = [event for event, _ in frames_of(crm.opened()) + frames_of(crm.work())]
    assert "messageStatus" in events
    with stage.world.database.reading() as session:
        device = registry.get(session, "12345")
        shape = registry.shapes(session, [device], stage.world.settings, clock.now())[0]
    assert "insufficient credit" in shape["limited_reason"]
