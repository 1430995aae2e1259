"""What a receiver gets: signed, the exact bytes, only what it asked for; and which answers count as taken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from smsgw import __version__
from smsgw.addresses import Guard
from smsgw.core.webhooks import deliveries, endpoints
from smsgw.core.webhooks import secrets as signing_secrets
from smsgw.delivery.attempts import Carriers
from smsgw.errors import Conflict
from tests.conftest import NOW
from tests.delivery.misbehaving import Misbehaving, drips
from tests.delivery.receiver import Answer, Receiver

MINUTE = timedelta(minutes=1)


def recent() -> datetime:
    """The library compares a signature's moment with the real clock."""
    return datetime.now(UTC)


def test_the_official_library_verifies_what_arrives_and_the_body_is_the_stored_bytes(
    delivery_world,
):
    with Receiver() as receiver:
        _, secret = delivery_world.add_endpoint_with_secret(receiver.url)
        (event_id,) = delivery_world.record()
        assert delivery_world.round(recent()) == 1
    (request,) = receiver.requests
    assert request.body == delivery_world.body(event_id)
    assert Webhook(secret).verify(request.body, request.headers)["id"] == event_id
    assert request.headers["webhook-id"] == event_id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"smsgw/{__version__}"


def test_a_retry_has_the_same_id_and_bytes_and_a_fresh_timestamp(delivery_world):
    with Receiver(lambda _: Answer(500)) as receiver:
        delivery_world.add_endpoint(receiver.url)
        delivery_world.record()
        delivery_world.round(NOW)
        delivery_world.round(NOW + MINUTE)
    first, second = receiver.requests
    assert (first.event_id, first.body) == (second.event_id, second.body)
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert stamps[1] - stamps[0] == 60


def test_during_a_rotation_both_secrets_verify_and_afterwards_only_the_new_one(delivery_world):
    with Receiver() as receiver:
        endpoint_id, old = delivery_world.add_endpoint_with_secret(receiver.url)
        now = recent()
        with delivery_world.database.transaction() as session:
            endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
            new = signing_secrets.rotate(session, endpoint, 60, now)
        delivery_world.record(now=now)
        delivery_world.round(now)
        delivery_world.record(now=now)
        delivery_world.round(now + MINUTE)
    during, after = receiver.requests
    for secret in (old, new):
        Webhook(secret).verify(during.body, during.headers)
    Webhook(new).verify(after.body, after.headers)
    assert len(during.headers["webhook-signature"].split()) == 2
    assert len(after.headers["webhook-signature"].split()) == 1


def test_a_rotation_without_grace_makes_all_old_secrets_void(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        signing_secrets.rotate(session, endpoint, 3600, NOW)
        newest = signing_secrets.rotate(session, endpoint, 0, NOW)
        assert signing_secrets.live(endpoint, NOW) == [newest]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_delivered(delivery_world, status):
    with Receiver(lambda _: Answer(status)) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record()
        delivery_world.round()
    delivery = delivery_world.delivery(endpoint_id)
    assert (delivery.status, delivery.settled_at) == ("delivered", NOW)
    assert delivery.next_attempt_at is None
    assert delivery_world.endpoint(endpoint_id).last_success_at == NOW


@pytest.mark.parametrize("status", [301, 302, 304, 400, 404, 500, 503])
def test_nothing_else_is(delivery_world, status):
    with Receiver(lambda _: Answer(status, body=b"no \x00 thanks")) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record()
        delivery_world.round()
    delivery = delivery_world.delivery(endpoint_id)
    assert delivery.status == "pending"
    (attempt,) = delivery_world.attempts(delivery)
    assert attempt["status_code"] == status
    assert "\x00" not in attempt["response_text"]
    assert attempt["manual"] is False


def test_a_redirect_is_not_followed(delivery_world):
    with Receiver() as elsewhere:
        away = Answer(307, (("Location", elsewhere.url),))
        with Receiver(lambda _: away) as receiver:
            delivery_world.add_endpoint(receiver.url)
            delivery_world.record()
            delivery_world.round()
    assert len(receiver.requests) == 1
    assert elsewhere.requests == []


def test_a_receiver_that_drips_is_a_timeout(delivery_world):
    delivery_world.settings = replace(delivery_world.settings, webhook_timeout_seconds=0.5)
    with Misbehaving(drips(b"HTTP/1.1 200 OK\r\nX: ")) as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record()
        delivery_world.round()
    (attempt,) = delivery_world.attempts(delivery_world.delivery(endpoint_id))
    assert (attempt["error"], attempt["status_code"]) == ("timeout", None)
    assert attempt["detail"]
    assert delivery_world.endpoint(endpoint_id).has_timed_out


def test_an_address_that_is_not_allowed_any_more_is_refused_at_the_connection(delivery_world):
    with Receiver() as receiver:
        endpoint_id = delivery_world.add_endpoint(receiver.url)
        delivery_world.record()
        delivery_world.carriers.close()
        delivery_world.carriers = Carriers(Guard())
        delivery_world.round()
    assert receiver.requests == []
    (attempt,) = delivery_world.attempts(delivery_world.delivery(endpoint_id))
    assert attempt["error"] == "address_refused"


def test_only_the_events_that_were_asked_for(delivery_world):
    with Receiver() as receiver:
        delivery_world.add_endpoint(receiver.url, event_types=["message.sent"])
        delivery_world.record(event_type="message.received")
        (wanted,) = delivery_world.record(event_type="message.sent")
        delivery_world.round()
    assert receiver.event_ids == [wanted]


def test_only_the_devices_that_were_asked_for_and_what_is_of_no_device(delivery_world):
    with Receiver() as receiver:
        delivery_world.add_endpoint(receiver.url, device_ids=["phone-1"])
        delivery_world.record(device_id="phone-2")
        (of_phone,) = delivery_world.record(device_id="phone-1")
        (of_none,) = delivery_world.record(event_type="webhook.disabled", device_id=None)
        delivery_world.round()
    assert sorted(receiver.event_ids) == sorted([of_phone, of_none])


def test_a_ping_goes_to_its_endpoint_alone_whatever_it_subscribed_to(delivery_world):
    with Receiver() as pinged, Receiver() as other:
        endpoint_id = delivery_world.add_endpoint(pinged.url, event_types=["message.sent"])
        delivery_world.add_endpoint(other.url)
        with delivery_world.database.transaction() as session:
            endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
            delivery_id = deliveries.ping(session, endpoint, NOW)
        delivery_world.round()
    assert len(pinged.requests) == 1
    assert b'"type":"webhook.ping"' in pinged.requests[0].body
    assert other.requests == []
    assert delivery_world.delivery(endpoint_id).id == delivery_id


def test_a_ping_that_fails_is_not_retried(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        deliveries.ping(session, endpoints.get(session, delivery_world.crm_id, endpoint_id), NOW)
    delivery_world.fail_all()
    assert delivery_world.delivery(endpoint_id).status == "discarded"


def test_a_disabled_endpoint_cannot_be_pinged(delivery_world):
    endpoint_id = delivery_world.add_endpoint(enabled=False)
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        with pytest.raises(Conflict, match="enable it first"):
            deliveries.ping(session, endpoint, NOW)


def test_the_deliveries_come_in_pages_newest_first_and_by_status(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    delivery_world.record(5)
    delivery_world.settle(delivery_world.take(threads=1)[0], status_code=200)
    with delivery_world.database.reading() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        seen, cursor = [], None
        for expected in (2, 2, 1):
            page, cursor = deliveries.page(session, endpoint, None, cursor, 2)
            assert len(page) == expected
            seen += [shape["id"] for shape in page]
        assert cursor is None
        delivered, _ = deliveries.page(session, endpoint, "delivered", None, 10)
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 5
    assert len(delivered) == 1
