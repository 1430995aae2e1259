"""The audit: each route that changes something leaves an entry that says who did it, without a secret in it."""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.routing import Rule

from smsgw import clock
from smsgw.core.accounts import audit_log, enrolment, ownership
from smsgw.core.devices import pairing, presence
from smsgw.core.webhooks import endpoints
from smsgw.store.models import AuditEntry, Message, WebhookEndpoint

from ..conftest import NOW
from ..purging import purge
from .conftest import Api
from .test_roles import Things, _routes

HOOK = "https://8.8.8.8/hook?token=planted-token"
BROKER = "amqps://user:planted-password@8.8.8.8/?exchange=sms"
SECRETS = re.compile(r"gw_live_|crm_live_|op_live_|whsec_|planted-|[0-9a-f]{64}")


@dataclass(frozen=True)
class Call:
    """A right request, what its entry is to say, and whether an operator makes it or a CRM."""

    body: dict[str, Any]
    action: str
    fields: tuple[str, ...] = ()
    by: str = "operator"


CALLS = {
    "POST /api/v1/devices": Call(
        {"device_id": "d", "phone": "+12025550100"}, "device.add", ("phone",)
    ),
    "PATCH /api/v1/devices/<device_id>": Call({"enabled": False}, "device.disable", ("enabled",)),
    "DELETE /api/v1/devices/<device_id>": Call({}, "device.remove", ("removed_at",)),
    "POST /api/v1/devices/<device_id>/reset": Call({}, "device.reset"),
    "POST /api/v1/devices/<device_id>/resume": Call({}, "device.resume"),
    "POST /api/v1/devices/<device_id>/rotate": Call({}, "device.rotate", ("secret",)),
    "POST /api/v1/devices/<device_id>/approve": Call({}, "device.approve", ("approved",)),
    "POST /api/v1/crms": Call(
        {"name": "new", "device_ids": ["phone-1"]}, "crm.add", ("device_ids",)
    ),
    "PATCH /api/v1/crms/<crm_id>": Call({"device_ids": ["phone-1"]}, "crm.route", ("device_ids",)),
    "DELETE /api/v1/crms/<crm_id>": Call({}, "crm.remove", ("removed_at",)),
    "POST /api/v1/crms/<crm_id>/approve": Call({}, "crm.approve", ("approved",)),
    "POST /api/v1/crms/<crm_id>/rotate": Call({}, "crm.rotate", ("secret",)),
    "PUT /devices/<device_id>/crms/<crm_id>": Call({}, "crm.route", ("device_ids",)),
    "DELETE /devices/<device_id>/crms/<crm_id>": Call({}, "crm.route", ("device_ids",)),
    "POST /registerDevice": Call({"deviceId": "new"}, "device.add"),
    "POST /registerCRM": Call({"crmName": "new"}, "crm.add"),
    "POST /api/v1/gateway/register": Call(
        {"device_id": "new", "name": "n"}, "device.add", by="anonymous"
    ),
    "POST /api/v1/webhooks": Call({"url": HOOK}, "webhook.add", ("url",), "crm"),
    "PATCH /api/v1/webhooks/<webhook_id>": Call({"url": HOOK}, "webhook.change", ("url",), "crm"),
    "DELETE /api/v1/webhooks/<webhook_id>": Call({}, "webhook.remove", ("removed_at",), "crm"),
    "POST /api/v1/webhooks/<webhook_id>/rotate-secret": Call(
        {}, "webhook.rotate", ("secret",), "crm"
    ),
    "POST /api/v1/webhooks/<webhook_id>/test": Call({}, "webhook.test", ("delivery_id",), "crm"),
    "POST /api/v1/webhooks/<webhook_id>/recover": Call(
        {"since": "2026-01-01T00:00:00Z"},
        "webhook.recover",
        ("since", "until", "created_count", "requeued_count"),
        "crm",
    ),
    "POST /api/v1/deliveries/<delivery_id>/replay": Call(
        {}, "webhook.replay", ("delivery_id",), "crm"
    ),
    "POST /api/v1/messages/<message_id>/resend": Call(
        {}, "message.resend", ("status", "reason"), "crm"
    ),
    "POST /api/v1/opt-outs": Call(
        {"number": "+12025550144", "note": "n"}, "opt_out.add", ("crm_id", "note"), "crm"
    ),
    "DELETE /api/v1/opt-outs/<number>": Call({}, "opt_out.remove", ("crm_id",), "crm"),
}
_OWN_MESSAGE = "the CRM's own message, whose history says it"
_REPORT = "what a phone sends and reports, which is kept as messages, reports and events"
NOT_AUDITED = {
    "DELETE /api/v1/messages/<message_id>": _OWN_MESSAGE,
    "POST /api/v1/messages": _OWN_MESSAGE,
    "POST /api/v1/messages/batch": _OWN_MESSAGE,
    "POST /api/v1/sms/send": _OWN_MESSAGE,
    "POST /sendMessage": _OWN_MESSAGE,
    "POST /api/v1/messages/preview": "stores nothing",
    "POST /api/sms": _REPORT,
    "POST /api/v1/gateway/heartbeat": _REPORT,
    "POST /api/v1/gateway/sms/received": _REPORT,
    "POST /api/v1/gateway/sms/status": _REPORT,
    **{f"{method} /cable": "opens a socket" for method in ("DELETE", "PATCH", "POST", "PUT")},
}


def entries(api: Api, **query: Any) -> list[dict[str, Any]]:
    answer = api.get("/audit", api.operator, **query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json["data"]
    return data


def everything(api: Api) -> str:
    """All that the table holds, as text."""
    with api.world.database.reading() as session:
        rows = session.execute(sa.select(AuditEntry.__table__)).mappings().all()
    return json.dumps([dict(row) for row in rows], default=str)


def test_every_route_that_changes_something_is_among_these_calls(api: Api):
    changing = {name for name, _ in _routes(api) if not name.startswith(("GET", "WS"))}
    assert changing == CALLS.keys() | NOT_AUDITED.keys()
    assert not CALLS.keys() & NOT_AUDITED.keys()


def _path(things: Things, rule: Rule) -> str:
    path = rule.rule
    for part in rule.arguments:
        path = path.replace(f"<{part}>", things[part])
    return path


def _prepare(api: Api, name: str, path: str) -> str:
    """Makes what a call changes, where the general thing would not be changed by it; returns the path."""
    with api.world.database.transaction() as session:
        pairing.PHONES.open_for(session, 10, clock.now())
        if name.endswith("devices/<device_id>/approve"):
            ownership.add_waiting(session, "waiting", None, None, NOW)
            return "/api/v1/devices/waiting/approve"
    if name.endswith("crms/<crm_id>/approve"):
        with api.world.database.transaction() as session:
            pairing.CRMS.open_for(session, 10, clock.now())
        made = api.world.client.post("/registerCRM", json={"crmName": "itself"})
        return f"/api/v1/crms/{made.json['crmId']}/approve"
    if name.endswith("/resend"):
        with api.world.database.transaction() as session:
            failed = {"status": "failed", "reason": "x", "reason_class": "permanent"}
            session.execute(sa.update(Message).values(failed))
    if name.startswith(("PUT /devices", "DELETE /devices")):
        crm_id, _ = api.world.add_crm("routed", [] if name.startswith("PUT") else ["phone-1"])
        return f"/devices/phone-1/crms/{crm_id}"
    return path


@pytest.mark.parametrize("name", CALLS)
def test_a_change_over_rest_leaves_an_entry_that_says_who_did_what_without_a_secret(
    api: Api, name: str
):
    call, things = CALLS[name], Things(api)
    (rule,) = (rule for found, rule in _routes(api) if found == name)
    path = _prepare(api, name, _path(things, rule))
    before = {entry["id"] for entry in entries(api, limit=200)}
    headers = {"operator": api.operator, "crm": api.crm, "anonymous": {}}[call.by]
    answer = api.world.client.open(path, method=name.split()[0], json=call.body, headers=headers)
    assert answer.status_code < 300, answer.text
    new = [entry for entry in entries(api, limit=200) if entry["id"] not in before]
    assert [entry["action"] for entry in new] == [call.action]
    (entry,) = new
    who = {"operator": "olga", "crm": "clinic", "anonymous": None}[call.by]
    assert (entry["actor_kind"], entry["actor_name"]) == (call.by, who)
    assert entry["address"] == "127.0.0.1"
    assert entry["object_kind"] == call.action.partition(".")[0]
    assert entry["changes"].keys() >= set(call.fields)
    found = everything(api)
    assert not SECRETS.search(found), SECRETS.search(found)


def test_the_fields_show_old_and_new_values_and_of_secrets_and_urls_what_may_be_seen(api: Api):
    api.call("PATCH", "/devices/phone-1", api.operator, json={"phone": "+12025550100"})
    api.call("PATCH", "/devices/phone-1", api.operator, json={"limits": {"segments_per_day": 9}})
    api.post("/devices/phone-1/rotate", {}, api.operator)
    hook = api.post("/webhooks", {"url": HOOK}).json["id"]
    api.call("PATCH", f"/webhooks/{hook}", json={"url": BROKER})
    api.call("PATCH", f"/webhooks/{hook}", json={"url": HOOK + "2"})
    found = entries(api)[:6]
    shown, broker = "https://8.8.8.8/hook?…", "amqps://8.8.8.8/?…"
    assert [
        (entry["action"], entry["changes"]) for entry in found if "add" not in entry["action"]
    ] == [
        ("webhook.change", {"url": [broker, shown]}),
        ("webhook.change", {"url": [shown, broker]}),
        ("device.rotate", {"secret": [None, "rotated"]}),
        ("device.limit", {"segments_per_day": [None, 9]}),
        ("device.change", {"phone": ["+4915112345678", "+12025550100"]}),
    ]
    assert found[2]["changes"]["url"] == [None, shown]


def test_routes_show_the_devices_that_were_taken_away_and_added(api: Api):
    api.world.add_device("phone-2")
    crm_id, _ = api.world.add_crm("other", ["phone-1"])
    change = {"device_ids": ["phone-2"]}
    api.call("PATCH", f"/crms/{crm_id}", api.operator, json=change)
    assert api.call("PATCH", f"/crms/{crm_id}", api.operator, json=change).status_code == 200
    api.call("DELETE", "/devices/phone-2", api.operator)
    removed, rerouted, changed, *_ = entries(api)
    assert {removed["action"], rerouted["action"]} == {"device.remove", "crm.route"}
    last = removed if removed["action"] == "crm.route" else rerouted
    assert (last["object_name"], last["changes"]["device_ids"]) == ("other", [["phone-2"], []])
    assert changed["changes"]["device_ids"] == [["phone-1"], ["phone-2"]]
    assert len(entries(api, object="other")) == 3


def test_a_request_that_changes_nothing_is_refused_or_repeated_leaves_no_entry(api: Api):
    keyed = {**api.operator, "Idempotency-Key": "k"}
    for _ in range(2):
        api.post("/crms", {"name": "new"}, keyed)
    assert [entry["action"] for entry in entries(api, object="new")] == ["crm.add"]
    count = len(entries(api))
    api.call("PATCH", "/devices/phone-1", api.operator, json={"phone": "+4915112345678"})
    api.post("/crms", {"name": "second", "device_ids": ["nothing"]}, api.operator)
    api.post("/devices", {"device_id": "phone-1"}, api.operator)
    api.post("/devices", {"device_id": "phone-1"})
    api.poll([{"id": "1", "from": "+12025550123", "content": "STOP"}])
    assert api.get("/opt-outs").json["data"]
    api.poll([{"id": "2", "from": "+12025550123", "content": "START"}])
    assert len(entries(api)) == count


def test_a_device_that_renews_its_token_and_one_that_registers_itself_are_told_apart(api: Api):
    with api.world.database.transaction() as session:
        pairing.PHONES.open_for(session, 10, clock.now())
    made = api.world.client.post("/registerDevice", json={"deviceId": "new"})
    api.post("/devices/new/approve", None, api.operator)
    headers = {"Authorization": f"Bearer {made.json['token']}"}
    again = api.world.client.post("/registerDevice", json={"deviceId": "new"}, headers=headers)
    assert again.status_code == 200, again.text
    api.world.client.post("/registerDevice", json={"deviceId": "its"}, headers=api.crm)
    found = entries(api)
    who = [(one["action"], one["actor_kind"], one["actor_name"]) for one in found if one["address"]]
    assert who == [
        ("device.add", "crm", "clinic"),
        ("device.rotate", "device", "new"),
        ("device.approve", "operator", "olga"),
        ("device.add", "anonymous", None),
    ]
    assert found[-1]["actor_kind"] == "server"
    assert "registration.open" in [one["action"] for one in found]


def test_what_a_device_does_by_itself_is_not_audited(api: Api):
    count = len(entries(api))
    api.poll([{"id": "1", "from": "+12025550123", "content": "hi"}])
    for seen_at in (clock.now(), NOW):
        api.see_device(seen_at)
        with api.world.database.transaction() as session:
            assert presence.announce_changes(session, api.world.settings, clock.now())
    assert len(entries(api)) == count


def test_a_removed_device_that_comes_back_is_added(api: Api):
    api.call("DELETE", "/devices/phone-1", api.operator)
    api.post("/devices", {"device_id": "phone-1"}, api.operator)
    assert [one["action"] for one in entries(api)[:2]] == ["device.add", "device.remove"]


def test_a_webhook_that_the_server_switches_off_is_audited_and_its_failures_are_not(api: Api):
    hook = api.post("/webhooks", {"url": "https://8.8.8.8/hook"}).json["id"]
    count = len(entries(api))
    with api.world.database.transaction() as session:
        found = session.get_one(WebhookEndpoint, hook)
        found.consecutive_failures, found.failing_since = 3, NOW
    assert len(entries(api)) == count
    with api.world.database.transaction() as session:
        found = session.get_one(WebhookEndpoint, hook)
        endpoints.disable_and_announce(session, found, "the receiver answered 410", NOW)
    (entry,) = entries(api, action="webhook.disable")
    assert (entry["actor_kind"], entry["actor_id"], entry["address"]) == ("server", None, None)
    assert entry["changes"]["disabled_reason"] == [None, "the receiver answered 410"]


def test_entries_come_newest_first_in_pages_and_by_time_actor_action_and_object(api: Api):
    for name in ("a", "b", "c"):
        api.post("/devices", {"device_id": name}, api.operator)
    api.post("/webhooks", {"url": "https://8.8.8.8/hook"})
    everyone = [entry["id"] for entry in entries(api)]
    assert everyone == sorted(everyone, reverse=True)
    pages, cursor = [], {}
    while cursor is not None:
        page = api.get("/audit", api.operator, limit=2, **cursor).json
        pages += page["data"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert [entry["id"] for entry in pages] == everyone
    objects = [one["object_id"] for one in entries(api, actor="olga", action="device.add")]
    assert objects == ["c", "b", "a"]
    assert len(entries(api, action="device")) == 4
    assert [one["action"] for one in entries(api, actor="clinic")] == ["webhook.add"]
    assert entries(api, actor=api.world.crm_id) == entries(api, actor="clinic")
    assert [one["action"] for one in entries(api, object="b")] == ["device.add"]
    assert entries(api, since=(clock.now() + timedelta(hours=1)).isoformat()) == []
    assert entries(api, until=(clock.now() - timedelta(hours=1)).isoformat()) == []
    recent = {"since": (clock.now() - timedelta(hours=1)).isoformat()}
    assert len(entries(api, **recent)) == len(everyone)
    for query in ({"cursor": "x"}, {"limit": 0}, {"since": "x"}, {"colour": "red"}):
        assert api.get("/audit", api.operator, **query).status_code == 422, query


def test_entries_are_kept_for_400_days_or_for_the_longer_retention_time(api: Api, settings):
    with api.world.database.transaction() as session:
        enrolment.add_with_password(session, "phone-2", None, None, NOW)
    made = clock.now()

    def purged(days: int, retention_days: int) -> bool:
        kept = len(entries(api))
        object.__setattr__(settings, "retention_days", retention_days)
        with api.world.database.transaction() as session:
            purge(session, settings, made + timedelta(days=days))
        return len(entries(api)) < kept

    assert not purged(audit_log.KEPT_DAYS - 1, 90)
    assert not purged(audit_log.KEPT_DAYS + 1, 500)
    assert not purged(5000, 0)
    assert purged(audit_log.KEPT_DAYS + 1, 90)
    assert entries(api) == []
