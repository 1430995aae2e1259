"""The limits of a MySMSAPio device, and its pause after failures it reports by REST or by its socket."""

import pytest

from smsgw.core.devices import limits, registry

from .conftest import perform, sent


def _limit(cable, **wanted):
    with cable.world.database.transaction() as session:
        limits.change(registry.get(session, "gateway-1"), wanted)


def test_a_socket_is_handed_no_more_than_the_limits_allow(cable):
    _limit(cable, segments_per_day=1, recipients_per_month=1)
    socket = cable.subscribed()
    cable.queue(2)
    assert len(sent(socket.work())) == 1
    assert sent(socket.work()) == []
    cable.pass_time(hours=25)
    assert len(sent(socket.work())) == 1


@pytest.mark.parametrize("way", ["rest", "socket"])
def test_a_phone_that_reports_a_limit_is_paused_and_its_sms_goes_out_after_that(cable, way):
    def report(payload, status, **more):
        said = {"message_id": payload["message_id"], "status": status, **more}
        if way == "rest":
            assert cable.post("/api/v1/gateway/sms/status", said).status_code == 200
        else:
            perform(socket, "delivery_status", **said)

    socket = cable.subscribed()
    message_ids = cable.queue(3)
    for payload in sent(socket.work()):
        report(payload, "failed", error_message="RESULT_ERROR_LIMIT_EXCEEDED")
    assert {cable.message(one).status for one in message_ids} == {"queued"}
    assert sent(socket.work()) == []
    cable.pass_time(minutes=5)
    (tried,) = sent(socket.work())
    report(tried, "sent")
    assert len(sent(socket.work())) == 2


def test_what_was_said_to_be_sent_and_then_failed_is_not_queued_again(cable):
    socket = cable.subscribed()
    (message_id,) = cable.queue()
    (payload,) = sent(socket.work())
    for status in ("sent", "failed"):
        said = {
            "message_id": payload["message_id"],
            "status": status,
            "error_message": "RESULT_ERROR_LIMIT_EXCEEDED",
        }
        assert cable.post("/api/v1/gateway/sms/status", said).status_code == 200
    assert cable.message(message_id).status == "failed"
