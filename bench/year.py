"""Fills a database as after a year: messages of many CRMs and phones in all states, and what pages show of them."""

import itertools
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from smsgw import clock, ids
from smsgw.core.accounts import crms, enrolment, operators
from smsgw.store.db import Database
from smsgw.store.models import (
    Attempt,
    AuditEntry,
    Delivery,
    Dispatch,
    Event,
    HistoryEntry,
    HourlyCount,
    InboxEntry,
    Message,
    WebhookEndpoint,
)
from smsgw.store.tables import Table, plain

CRMS = 20
CHUNK = 5_000
YEAR = timedelta(days=365)
# One number has much more to say than the others.
LOUD_NUMBER, LOUD_MESSAGES = "+447700900000", 5_000
# Of a hundred outbound messages.
STATES = ["delivered"] * 86 + ["sent"] * 6 + ["failed"] * 5 + ["expired"] * 2 + ["cancelled"]
# Of so many messages, the last ones have events with deliveries.
WITH_EVENTS = 0.05


@dataclass(frozen=True)
class Year:
    """What pages are asked for: one of each, and the key of an operator."""

    operator_key: str
    device_id: str
    crm_id: str
    message_id: str
    failed_id: str
    webhook_id: str
    delivery_id: str


def fill(url: str, messages: int, devices: int) -> Year:
    """Write so many messages of so many phones, always the same ones but for their ids."""
    database, now, dice = Database(url), clock.now(), random.Random(7)
    with database.transaction() as session:
        names = [f"phone-{number}" for number in range(devices)]
        for name in names:
            enrolment.add_with_password(session, name, None, None, now)
        crm_ids = [crms.add(session, f"crm-{number}", None, now)[0].id for number in range(CRMS)]
        key = operators.add(session, "bench", now)
        endpoints = [_endpoint(crm_id, now) for crm_id in crm_ids]
        _insert(session, WebhookEndpoint, endpoints)
        _insert(session, AuditEntry, [_audit(number, now) for number in range(messages // 100)])
        _insert(session, HourlyCount, [_hour(number, now) for number in range(24)])
    rows: list[dict[str, Any]] = []
    for chunk in _chunks(_messages(messages, names, crm_ids, now, dice)):
        with database.transaction() as session:
            _insert(session, Message, chunk)
            _insert(session, InboxEntry, _inbox(chunk, crm_ids))
            _insert(session, Dispatch, [_dispatch(row) for row in chunk if row["device_id"]])
            _insert(session, HistoryEntry, [entry for row in chunk for entry in _history(row)])
        rows = (rows + chunk)[-max(1, int(messages * WITH_EVENTS)) :]
    by_crm = dict(zip(crm_ids, endpoints, strict=True))
    deliveries: list[dict[str, Any]] = []
    for chunk in _chunks(iter(rows)):
        events = [_event(row) for row in chunk if not _is_inbound(row)]
        deliveries = [
            _delivery(event, by_crm[event["crm_id"]]["id"], number)
            for number, event in enumerate(events)
        ]
        with database.transaction() as session:
            _insert(session, Event, events)
            _insert(session, Delivery, deliveries)
            _insert(session, Attempt, [_attempt(row) for row in deliveries])
    with database.transaction() as session:
        session.execute(sa.text("ANALYZE"))
    database.close()
    failed = next(row["id"] for row in reversed(rows) if row["status"] == "failed")
    last = rows[-1]["id"]
    webhook_id, delivery_id = endpoints[0]["id"], deliveries[-1]["id"]
    return Year(key, names[-1], crm_ids[0], last, failed, webhook_id, delivery_id)


def _messages(
    count: int, names: list[str], crm_ids: list[str], now: datetime, dice: random.Random
) -> Iterator[dict[str, Any]]:
    every = max(2, count // LOUD_MESSAGES)
    for number in range(count):
        at = now - YEAR * (1 - number / count)
        person = f"+4477009{dice.randrange(1, 20_000):05}" if number % every else LOUD_NUMBER
        is_inbound = dice.random() < 0.2
        status = "received" if is_inbound else dice.choice(STATES)
        yield {
            "id": f"msg_{int(at.timestamp() * 1000):012x}{number:08x}{uuid.uuid4().hex[:12]}",
            "direction": "inbound" if is_inbound else "outbound",
            "status": status,
            "crm_id": None if is_inbound else crm_ids[number % CRMS],
            "device_id": None if status in ("expired", "cancelled") else dice.choice(names),
            "lane": None,
            "from_number": person if is_inbound else None,
            "to_number": None if is_inbound else person,
            "content": f"Reminder {number}: see you at ten tomorrow",
            "encoding": "GSM-7",
            "segments": 1,
            "reason": "NO_SERVICE" if status == "failed" else None,
            "reason_class": "temporary" if status == "failed" else None,
            "priority": 4,
            "due_at": at,
            "expires_at": at + timedelta(days=2),
            "created_at": at,
            "updated_at": at,
            "inbound_key": uuid.uuid4().hex if is_inbound else None,
        }


def _is_inbound(row: dict[str, Any]) -> bool:
    return bool(row["direction"] == "inbound")


def _inbox(rows: list[dict[str, Any]], crm_ids: list[str]) -> list[dict[str, Any]]:
    """Each inbound message is for one of the CRMs."""
    inbound = (row["id"] for row in rows if _is_inbound(row))
    return [
        {"crm_id": crm_ids[number % CRMS], "message_id": message_id}
        for number, message_id in enumerate(inbound)
    ]


def _dispatch(row: dict[str, Any]) -> dict[str, Any]:
    at = row["created_at"]
    return {
        "id": row["id"].replace("msg", "dsp"),
        "message_id": row["id"],
        "device_id": row["device_id"],
        "status": row["status"],
        "status_at": at,
        "reason": row["reason"],
        "reason_class": row["reason_class"],
        "segments": 1,
        "hand_out_count": 1,
        "handed_out_at": at,
        "last_handed_out_at": at,
        "lease_until": at,
    }


def _history(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    first = "received" if _is_inbound(row) else "queued"
    for status in dict.fromkeys((first, row["status"])):
        yield {
            "message_id": row["id"],
            "device_id": None if status == "queued" else row["device_id"],
            "status": status,
            "at": row["created_at"],
        }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    event_id = ids.new_event_id()
    return {
        "id": event_id,
        "tx": 0,
        "crm_id": row["crm_id"],
        "type": f"message.{row['status']}",
        "device_id": row["device_id"],
        "message_id": row["id"],
        "body": f'{{"id":"{event_id}","type":"message","data":{{}}}}',
        "created_at": row["created_at"],
    }


def _delivery(event: dict[str, Any], endpoint_id: str, number: int) -> dict[str, Any]:
    return {
        "id": ids.new_delivery_id(),
        "event_id": event["id"],
        "endpoint_id": endpoint_id,
        "status": "discarded" if number % 20 == 0 else "delivered",
        "attempt_count": 1,
        "created_at": event["created_at"],
        "settled_at": event["created_at"],
    }


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": ids.new_attempt_id(),
        "delivery_id": row["id"],
        "started_at": row["created_at"],
        "duration_seconds": 0.08,
        "status_code": 401 if row["status"] == "discarded" else 204,
        "response_text": "no such signature",
        "is_manual": False,
    }


def _endpoint(crm_id: str, now: datetime) -> dict[str, Any]:
    secrets = [{"secret": "whsec_" + "A" * 44, "expires_at": None}]
    url = "https://crm.example.org/sms"
    return {
        "id": ids.new_endpoint_id(),
        "crm_id": crm_id,
        "url": url,
        "secrets": secrets,
        "created_at": now,
    }


def _audit(number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": ids.new_audit_id(),
        "at": now - YEAR * (number / 10_000),
        "actor_kind": "operator",
        "actor_name": "bench",
        "action": "device.rotate",
        "object_kind": "device",
        "object_id": f"phone-{number % 100}",
        "changes": {"secret": [None, "rotated"]},
    }


def _hour(number: int, now: datetime) -> dict[str, Any]:
    hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=number)
    return {"hour": hour, "sent": 90, "failed": 5, "received": 20}


def _insert(session: Any, table: type[Table], rows: list[dict[str, Any]]) -> None:
    if rows:
        session.execute(sa.insert(plain(table)), rows)


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk
