"""Which endpoints get what phones report and are handed: those that are there at that moment."""

import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.webhooks import endpoints
from smsgw.store.models import Delivery, Event

from ..noting import noted
from .conftest import sms, update


def add(stage, events=None, device_ids=None, enabled=True):
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.world.crm_id)
        options = {"event_types": events, "device_ids": device_ids, "enabled": enabled}
        url = "https://crm.example/hook"
        return endpoints.add(session, crm, url, most=10, now=clock.now(), **options)[0].id


def delivered(stage, endpoint_id):
    with stage.world.database.reading() as session:
        to_it = sa.select(Event.type).join(Delivery).where(Delivery.endpoint_id == endpoint_id)
        return sorted(session.scalars(to_it))


def test_each_poll_reaches_the_endpoints_that_are_there_by_then(stage):
    first = add(stage)
    _, dispatch_id = stage.send()
    second, disabled = add(stage), add(stage, enabled=False)
    stage.report(dispatch_id, "UNSENT")
    with stage.world.database.transaction() as session:
        endpoints.remove(session, endpoints.get_any(session, first), clock.now())
    stage.queue()
    stage.poll(updates=[update(dispatch_id, "SENT")])
    assert delivered(stage, first) == ["message.accepted", "message.dispatched"]
    assert delivered(stage, second) == ["message.accepted", "message.dispatched", "message.sent"]
    assert delivered(stage, disabled) == []


def test_an_endpoint_gets_the_events_and_phones_that_it_wants(stage):
    stage.world.add_device("phone-2")
    sent, failed = add(stage, events=["message.sent"]), add(stage, events=["message.failed"])
    other, own = add(stage, device_ids=["phone-2"]), add(stage, device_ids=["phone-1"])
    _, dispatch_id = stage.send()
    stage.report(dispatch_id, "SENT")
    assert delivered(stage, sent) == ["message.sent"]
    assert delivered(stage, own) == ["message.dispatched", "message.sent"]
    assert delivered(stage, failed) == delivered(stage, other) == []


def test_a_poll_reads_who_subscribes_along_with_the_messages(stage):
    endpoint_id = add(stage)
    _, dispatch_id = stage.send()
    stage.queue()
    with noted(stage.world.database) as seen:
        assert len(stage.poll(updates=[update(dispatch_id, "SENT")])) == 1
    asking = [text for text, _ in seen if "webhook_endpoints" in text]
    assert len(asking) == 2
    assert all("FROM messages" in text or text.startswith("UPDATE messages") for text in asking)
    assert len(delivered(stage, endpoint_id)) == 3


def test_who_subscribes_is_asked_where_no_message_of_the_crm_was_read(stage):
    endpoint_id = add(stage)
    stage.poll([sms()])
    assert delivered(stage, endpoint_id) == ["message.received"]
