"""A request that was let in is asked again once its device is locked: the phone may have lost its place meanwhile."""

import pytest

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import protocols, registry
from smsgw.http.context import EXTENSION

from .conftest import act_while_reading, sms, update


def change(stage, act, device_id="phone-1"):
    with stage.world.database.transaction() as session:
        return act(session, registry.get(session, device_id))


def remove(session, device):
    enrolment.remove(session, device, clock.now())


def disable(_session, device):
    device.enabled = False


def rotate(session, device):
    enrolment.rotate(session, device, clock.now())


def add_again(session, device):
    remove(session, device)
    session.flush()
    enrolment.add_with_password(session, device.id, None, None, clock.now())


LOSSES = pytest.mark.parametrize(
    ("loss", "status"), [(remove, 401), (disable, 403), (rotate, 401), (add_again, 401)]
)


def lose_while_reading(stage, monkeypatch, loss, device_id="phone-1"):
    """The device loses its place after a request's head was read and before its body is."""
    act_while_reading(monkeypatch, lambda: change(stage, loss, device_id))


@LOSSES
def test_a_poll_whose_device_loses_its_place_takes_nothing_and_is_handed_nothing(
    stage, monkeypatch, loss, status
):
    confirmed, dispatch_id = stage.send()
    (waiting,) = stage.queue()
    before = stage.history(confirmed)
    lose_while_reading(stage, monkeypatch, loss)
    answer = stage.post({"messages": [sms(), {}], "updates": [update(dispatch_id, "SENT")]})
    assert (answer.status_code, answer.json["error"]) == (status, True)
    assert (stage.inbox(), stage.quarantined()) == ([], [])
    assert stage.status(waiting) == "queued"
    assert "sent" not in stage.history(confirmed)
    assert stage.history(confirmed)[: len(before)] == before


def test_a_sighting_of_the_phone_before_says_nothing_of_the_one_that_has_its_name_now(stage):
    stage.poll()
    change(stage, add_again)
    with stage.world.database.transaction() as session:
        stage.world.app.extensions[EXTENSION].last_seen_writer.sightings.write(session)
    assert stage.device().last_seen_at is None


REST = [
    ("/api/v1/gateway/sms/received", {"phone_number": "+12025550123", "message_body": "hi"}),
    ("/api/v1/gateway/sms/received", {"phone_number": []}),
    ("/api/v1/gateway/sms/status", {"message_id": "msg_1", "status": "sent"}),
    ("/api/v1/gateway/heartbeat", {}),
]


@LOSSES
@pytest.mark.parametrize(("path", "body"), REST)
def test_what_a_gateway_with_a_key_says_by_rest_counts_only_while_the_key_does(
    stage, monkeypatch, loss, status, path, body
):
    with stage.world.database.transaction() as session:
        device, key = enrolment.add_with_key(session, "gateway-1", None, None, clock.now())
        device.protocol = protocols.MYSMSAPIO
    lose_while_reading(stage, monkeypatch, loss, "gateway-1")
    headers = {"Authorization": f"Bearer {key}"}
    answer = stage.world.client.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json["success"]) == (status, False)
    assert (stage.inbox(), stage.quarantined()) == ([], [])
    assert stage.device("gateway-1").last_seen_at is None
