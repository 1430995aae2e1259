"""Translates our events and messages into the terms of the CRM WebSocket API."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.messages import phone_ids
from ..sms import statuses
from ..store.db import Session
from ..store.models import Event
from . import frames

# Our statuses and what these clients see. `received` is for incoming SMS, which are not reported this way.
STATUS = {
    statuses.QUEUED: "QUEUED",
    statuses.DISPATCHED: "QUEUED",
    statuses.ACCEPTED: "QUEUED",
    statuses.SENDING: "QUEUED",
    statuses.SENT: "SENT",
    statuses.DELIVERED: "DELIVERED",
    statuses.FAILED: "FAILED",
    statuses.EXPIRED: "FAILED",
    statuses.CANCELLED: "FAILED",
    statuses.RECEIVED: "RECEIVED",
}
STUCK = "stuck: the phone has had it for hours without a report; it may still send it"
# Left out: `message.dispatched` and `message.accepted`, because these clients know both as QUEUED, which they got
# before, and would take a second QUEUED for the answer to a second order; `webhook.…`, which is for endpoints.
_EVENTS = {
    "message.sent": frames.MESSAGE_STATUS,
    "message.delivered": frames.MESSAGE_STATUS,
    "message.failed": frames.MESSAGE_STATUS,
    "message.expired": frames.MESSAGE_STATUS,
    "message.cancelled": frames.MESSAGE_STATUS,
    "message.stuck": frames.MESSAGE_STATUS,
    "message.received": frames.MESSAGE_RECEIVED,
    "device.online": "deviceConnected",
    "device.offline": "deviceDisconnected",
}


def translate(session: Session, rows: Sequence[Event]) -> list[str | None]:
    """Return a frame for each event, `None` for events that this API does not have."""
    received = [row.message_id for row in rows if row.type == "message.received"]
    names = phone_ids.of_messages(session, [one for one in received if one is not None])
    return [_frame(row, names) for row in rows]


def error_text(status: str, reason: str | None, is_stuck: bool) -> str | None:
    """Return why a message will not or may not arrive; `None` for all others."""
    if STATUS[status] == "FAILED":
        return reason or status
    return STUCK if is_stuck else None


def moment(written: str) -> str:
    """Return a time of the feed, without milliseconds where it has none."""
    return written.replace(".000Z", "Z")


def _frame(row: Event, phone_ids: Mapping[str, str]) -> str | None:
    event = _EVENTS.get(row.type)
    if event is None:
        return None
    body = json.loads(row.body)
    if event == frames.MESSAGE_RECEIVED:
        data = _received(body, phone_ids.get(row.message_id or "", row.message_id))
    elif event == frames.MESSAGE_STATUS:
        data = _status(body)
    else:
        data = {"deviceId": row.device_id, "timestamp": moment(body["timestamp"])}
    return frames.write(event, data, event_id=row.id)


def _received(body: dict[str, Any], message_id: str | None) -> dict[str, Any]:
    message = body["data"]
    return {
        "deviceId": message["device_id"],
        "messageId": message_id,
        "sender": message["from"],
        "content": message["content"],
        "timestamp": moment(message["device_received_at"] or message["received_at"]),
    }


def _status(body: dict[str, Any]) -> dict[str, Any]:
    message = body["data"]
    told = {
        "deviceId": message["device_id"],
        "messageId": message["id"],
        "status": STATUS[message["status"]],
        "timestamp": moment(body["timestamp"]),
    }
    is_stuck = body["type"] == "message.stuck"
    error = error_text(message["status"], message["reason"], is_stuck)
    return told if error is None else {**told, "error": error}
