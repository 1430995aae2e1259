"""Holds the examples of events and figures."""

from typing import Any

from .devices import DEVICE, SILENCE
from .messages import (
    ACCEPTED,
    CANCELLED,
    DELIVERED,
    DISPATCHED,
    EXPIRED,
    FAILED,
    INBOUND,
    QUEUED_AT,
    SENT,
    STUCK,
)
from .opt_outs import OPT_OUT
from .webhooks import DELIVERY, WEBHOOK


def event(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return an event as it is polled and sent."""
    return {
        "id": DELIVERY["event_id"],
        "type": event_type,
        "timestamp": "2026-03-01T12:05:00.000Z",
        "data": data,
    }


EVENT_DATA: dict[str, dict[str, Any]] = {
    "message.received": INBOUND,
    "message.dispatched": DISPATCHED,
    "message.accepted": ACCEPTED,
    "message.sent": SENT,
    "message.delivered": DELIVERED,
    "message.failed": FAILED,
    "message.expired": EXPIRED,
    "message.cancelled": CANCELLED,
    "message.stuck": STUCK,
    "device.online": DEVICE,
    "device.offline": {**DEVICE, "online": False},
    "device.silent": {**DEVICE, "silences": [SILENCE], **SILENCE},
    "device.recovered": {**DEVICE, **SILENCE},
    "device.limited": {
        **DEVICE,
        "limited_until": "2026-03-01T12:10:00.000Z",
        "limited_reason": "is paused, because a message failed with 'unknown; resultCode=5'",
    },
    "opt_out.added": OPT_OUT,
    "opt_out.removed": {**OPT_OUT, "message_id": "msg_019c0b61d2c37e4f8a9b0c1d2e3f4a5b"},
    "webhook.disabled": {**WEBHOOK, "enabled": False, "disabled_reason": "disabled by hand"},
    "webhook.ping": {"endpoint_id": WEBHOOK["id"]},
}
FEED: dict[str, Any] = {
    "data": [event("message.received", INBOUND)],
    "next_cursor": DELIVERY["event_id"],
}
_COUNTS = {
    "queued": 1,
    "dispatched": 0,
    "accepted": 1,
    "sending": 0,
    "sent": 2,
    "delivered": 40,
    "failed": 1,
    "expired": 0,
    "cancelled": 0,
    "received": 17,
}
STATS: dict[str, Any] = {
    "since": "2026-02-28T12:05:00.000Z",
    "messages": _COUNTS,
    "queue": {
        "queued_count": 1,
        "due_count": 1,
        "oldest_due_at": QUEUED_AT,
        "oldest_due_seconds": 300,
    },
    "devices": [
        {
            "device_id": "phone-1",
            "online": True,
            "last_seen_at": "2026-03-01T12:04:50.000Z",
            "queued_count": 0,
            "in_flight_count": 1,
            "messages": _COUNTS,
        }
    ],
}
