"""Endpoints themselves: what may be asked for, who sees them, what is shown."""

import pytest

from smsgw.addresses import SETTING
from smsgw.core.accounts import crms
from smsgw.core.webhooks import endpoints, urls
from smsgw.core.webhooks import secrets as signing_secrets
from smsgw.errors import Invalid, NotFound
from tests.conftest import NOW
from tests.delivery.conftest import NOWHERE


def test_a_url_that_cannot_be_delivered_to_is_refused_with_the_setting_that_helps():
    with pytest.raises(Invalid, match=SETTING) as refused:
        urls.checked(NOWHERE, ())
    assert list(refused.value.details) == ["url"]


def test_a_url_of_endless_length_is_refused(delivery_world):
    with pytest.raises(Invalid, match="2,048"):
        urls.checked(NOWHERE + "x" * 2048, delivery_world.guard.allowed)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"event_types": ["message.recieved"]}, "events"),
        ({"event_types": []}, "events"),
        ({"device_ids": ["phone-9"]}, "device_ids"),
        ({"device_ids": []}, "device_ids"),
    ],
)
def test_filters_name_what_there_is(delivery_world, wanted, field):
    with pytest.raises(Invalid) as refused:
        delivery_world.add_endpoint(**wanted)
    assert list(refused.value.details) == [field]


def test_a_device_the_crm_may_not_use_is_unknown_to_it(delivery_world):
    with delivery_world.database.transaction() as session:
        crms.route(session, crms.get(session, delivery_world.crm_id), ["phone-1"], NOW)
    with pytest.raises(Invalid, match="phone-2"):
        delivery_world.add_endpoint(device_ids=["phone-2"])


def test_another_crms_endpoint_and_a_removed_one_are_not_found(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        with pytest.raises(NotFound):
            endpoints.get(session, "crm_other", endpoint_id)
        endpoints.remove(session, endpoints.get_any(session, endpoint_id), NOW)
        with pytest.raises(NotFound):
            endpoints.get(session, delivery_world.crm_id, endpoint_id)
        assert endpoints.of_crm(session, delivery_world.crm_id) == []
        assert endpoints.everyone(session) == []


def test_an_endpoint_in_json(delivery_world):
    endpoint_id = delivery_world.add_endpoint(event_types=["message.sent"], enabled=False)
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        assert endpoints.shape(session, endpoint) == {
            "id": endpoint_id,
            "crm_id": delivery_world.crm_id,
            "url": NOWHERE,
            "events": ["message.sent"],
            "device_ids": None,
            "enabled": False,
            "disabled_at": "2026-03-01T12:00:00.000Z",
            "disabled_reason": "disabled by hand",
            "failing_since": None,
            "consecutive_failures": 0,
            "last_success_at": None,
            "paused_until": None,
            "pending_count": 0,
            "created_at": "2026-03-01T12:00:00.000Z",
        }


def test_the_pending_count_is_each_endpoints_own(delivery_world):
    first, second = (
        delivery_world.add_endpoint(),
        delivery_world.add_endpoint(event_types=["message.sent"]),
    )
    delivery_world.record(3)
    delivery_world.record(1, "message.sent")
    with delivery_world.database.reading() as session:
        shapes = endpoints.shapes(session, endpoints.of_crm(session, delivery_world.crm_id))
    assert {shape["id"]: shape["pending_count"] for shape in shapes} == {first: 4, second: 1}


def test_a_password_in_a_url_is_never_shown(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        endpoint.url = "https://clinic:pass@crm.example/hook?x=1"
        assert endpoints.shape(session, endpoint)["url"] == "https://***@crm.example/hook?x=1"


def test_only_what_is_named_is_changed(delivery_world):
    endpoint_id = delivery_world.add_endpoint(event_types=["message.sent"], device_ids=["phone-1"])
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        endpoints.update(session, endpoint, {"events": None}, NOW)
    changed = delivery_world.endpoint(endpoint_id)
    assert (changed.events, changed.device_ids) == (None, ["phone-1"])
    assert (changed.url, changed.enabled) == (NOWHERE, True)


def test_at_most_ten_secrets_are_kept_and_grace_is_bounded(delivery_world):
    endpoint_id = delivery_world.add_endpoint()
    with delivery_world.database.transaction() as session:
        endpoint = endpoints.get(session, delivery_world.crm_id, endpoint_id)
        newest = [signing_secrets.rotate(session, endpoint, 3600, NOW) for _ in range(15)]
        assert signing_secrets.live(endpoint, NOW) == newest[:-11:-1]
        with pytest.raises(Invalid, match="grace_seconds"):
            signing_secrets.rotate(session, endpoint, -1, NOW)
