"""The examples of the documentation, all of one story: a clinic reminds a patient, who answers."""

from typing import Any

_MESSAGE_ID = "msg_019c0a4e6d3b7c529f1c0a5b8e7d2f43"
_DISPATCH_ID = "3f9c2b1e-7a54-4c1d-9a83-5d6f0e2b7c11"
_SCHEDULED = "2026-03-01T12:00:00.000Z"

DRAFT: dict[str, Any] = {
    "to": "+49 151 12345678",
    "content": "Your appointment is tomorrow at 10:00. Reply 1 to confirm.",
    "reference": "visit-4711",
    "ttl": 86400,
    "metadata": {"patient": 4711},
}
SHORT_DRAFT: dict[str, Any] = {"to": "+12025550123", "content": "Hello from the gateway"}
SCHEDULED_DRAFT: dict[str, Any] = {
    "to": "+12025550123",
    "content": "Please come at 10:00.",
    "device_id": "phone-1",
    "send_at": "2026-03-02T08:00:00Z",
    "expires_at": "2026-03-02T10:00:00Z",
    "priority": 7,
}
DRAFTS: dict[str, Any] = {
    "short": {"summary": "The least that is needed", "value": SHORT_DRAFT},
    "reference": {"summary": "Safe to repeat", "value": DRAFT},
    "scheduled": {"summary": "At a time, by one device", "value": SCHEDULED_DRAFT},
}
MESSAGE: dict[str, Any] = {
    "id": _MESSAGE_ID,
    "direction": "outbound",
    "device_id": None,
    "from": None,
    "to": "+12025550123",
    "content": "Your appointment is tomorrow at 10:00. Reply 1 to confirm.",
    "encoding": "gsm7",
    "segments": 1,
    "status": "queued",
    "reason": None,
    "reason_class": None,
    "reference": "visit-4711",
    "metadata": {"patient": 4711},
    "priority": 4,
    "send_at": None,
    "expires_at": "2026-03-02T12:00:00.000Z",
    "created_at": _SCHEDULED,
    "updated_at": _SCHEDULED,
    "sent_at": None,
    "delivered_at": None,
    "stuck_at": None,
}
DISPATCHED: dict[str, Any] = {
    **MESSAGE,
    "device_id": "phone-1",
    "from": "+4930123456",
    "status": "dispatched",
    "updated_at": "2026-03-01T12:00:20.000Z",
}
ACCEPTED: dict[str, Any] = {
    **DISPATCHED,
    "status": "accepted",
    "updated_at": "2026-03-01T12:00:50.000Z",
}
SENT: dict[str, Any] = {
    **DISPATCHED,
    "status": "sent",
    "updated_at": "2026-03-01T12:00:55.000Z",
    "sent_at": "2026-03-01T12:00:55.000Z",
}
DELIVERED: dict[str, Any] = {
    **SENT,
    "status": "delivered",
    "updated_at": "2026-03-01T12:01:25.000Z",
    "delivered_at": "2026-03-01T12:01:25.000Z",
}
FAILED: dict[str, Any] = {
    **DISPATCHED,
    "status": "failed",
    "reason": "no-service",
    "reason_class": "temporary",
}
EXPIRED: dict[str, Any] = {**MESSAGE, "status": "expired"}
CANCELLED: dict[str, Any] = {**MESSAGE, "status": "cancelled"}
STUCK: dict[str, Any] = {**ACCEPTED, "stuck_at": "2026-03-02T02:00:50.000Z"}
INBOUND: dict[str, Any] = {
    **MESSAGE,
    "id": "msg_019c0a52f1a47d0e8b3c6e9f21d5a780",
    "direction": "inbound",
    "device_id": "phone-1",
    "from": "+12025550123",
    "to": "+4930123456",
    "content": "1",
    "status": "received",
    "reference": None,
    "metadata": None,
    "expires_at": None,
    "created_at": "2026-03-01T12:05:00.000Z",
    "updated_at": "2026-03-01T12:05:00.000Z",
    "received_at": "2026-03-01T12:05:00.000Z",
    "device_received_at": "2026-03-01T12:04:58.000Z",
    "sms_sent_at": "2026-03-01T12:04:55.000Z",
}
WHOLE_MESSAGE: dict[str, Any] = {
    **ACCEPTED,
    "history": [
        {
            "status": "queued",
            "reason": None,
            "at": _SCHEDULED,
            "device_id": None,
            "dispatch_id": None,
        },
        {
            "status": "dispatched",
            "reason": None,
            "at": "2026-03-01T12:00:20.000Z",
            "device_id": "phone-1",
            "dispatch_id": _DISPATCH_ID,
        },
        {
            "status": "accepted",
            "reason": None,
            "at": "2026-03-01T12:00:50.000Z",
            "device_id": "phone-1",
            "dispatch_id": _DISPATCH_ID,
        },
    ],
    "dispatches": [
        {
            "id": _DISPATCH_ID,
            "device_id": "phone-1",
            "status": "accepted",
            "reason": None,
            "reason_class": None,
            "handed_out_at": "2026-03-01T12:00:20.000Z",
            "hand_out_count": 1,
            "acknowledged_at": "2026-03-01T12:00:50.000Z",
        }
    ],
    "waiting_for": {
        "hop": "phone",
        "since": "2026-03-01T12:00:50.000Z",
        "device_id": "phone-1",
        "text": "The phone phone-1 has had it since 2026-03-01T12:00:50Z and has not begun to send it.",
    },
}
MESSAGES: dict[str, Any] = {"data": [MESSAGE]}
MESSAGE_PAGE: dict[str, Any] = {"data": [INBOUND, MESSAGE], "next_cursor": _MESSAGE_ID}
BATCH: dict[str, Any] = {"messages": [DRAFT, SHORT_DRAFT]}
PREVIEW: dict[str, Any] = {
    "to": "+12025550123",
    "encoding": "gsm7",
    "segments": 1,
    "units": 58,
    "units_per_segment": 160,
    "units_left": 102,
    "offending": [],
    "devices": [{"device_id": "phone-1", "online": True}],
}
RESEND: dict[str, Any] = {"may_duplicate": True}
DEVICE: dict[str, Any] = {
    "device_id": "phone-1",
    "phone": "+4930123456",
    "enabled": True,
    "online": True,
    "last_seen_at": "2026-03-01T12:00:50.000Z",
    "app_version": "1.8.1",
    "queued_count": 0,
    "in_flight_count": 1,
    "unknown_report_count": 0,
    "created_at": "2026-02-01T09:00:00.000Z",
}
OWN_DEVICE: dict[str, Any] = {**DEVICE, "crm_id": None, "crm": None, "approved": True}
NEW_DEVICE: dict[str, Any] = {"device_id": "phone-1", "phone": "+4930123456", "key": False}
DEVICE_LOGIN: dict[str, Any] = {
    "device_id": "phone-1",
    "username": "phone-1",
    "password": "k7m2p9q4r8s3t6u5v2w9",
    "url": "https://phone-1:k7m2p9q4r8s3t6u5v2w9@sms.example.org/api/sms",
}
CRM_ID = "crm_019c09f0a1b27c3d8e4f5a6b7c8d9e0f"
CRM: dict[str, Any] = {
    "id": CRM_ID,
    "name": "clinic",
    "enabled": True,
    "approved": True,
    "strict_numbers": False,
    "queue_limit": None,
    "requests_per_minute": None,
    "device_ids": None,
    "created_at": "2026-02-01T09:00:00.000Z",
}
NEW_CRM: dict[str, Any] = {
    "name": "clinic",
    "callback_url": "https://crm.example.org/sms",
    "device_ids": ["phone-1"],
}
CRM_LOGIN: dict[str, Any] = {
    "id": CRM_ID,
    "name": "clinic",
    "api_key": "crm_live_" + "0123456789abcdef" * 4,
    "webhook": {
        "id": "whe_019c09f0a1c47e5f9a0b1c2d3e4f5a6b",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    },
}
WEBHOOK: dict[str, Any] = {
    "id": "whe_019c09f0a1c47e5f9a0b1c2d3e4f5a6b",
    "crm_id": CRM_ID,
    "url": "https://crm.example.org/sms",
    "events": ["message.received", "message.delivered", "message.failed"],
    "device_ids": None,
    "enabled": True,
    "disabled_at": None,
    "disabled_reason": None,
    "failing_since": None,
    "consecutive_failures": 0,
    "last_success_at": "2026-03-01T12:05:00.000Z",
    "paused_until": None,
    "pending_count": 0,
    "created_at": "2026-02-01T09:00:00.000Z",
}
CRM_KEY: dict[str, Any] = {key: CRM_LOGIN[key] for key in ("id", "name", "api_key")}
SECRET: dict[str, Any] = CRM_LOGIN["webhook"]
NEW_WEBHOOK: dict[str, Any] = {
    "url": "https://crm.example.org/sms",
    "events": ["message.received", "message.delivered", "message.failed"],
    "device_ids": ["phone-1"],
    "enabled": True,
}
NEW_WEBHOOK_ANSWER: dict[str, Any] = {
    **WEBHOOK,
    "device_ids": ["phone-1"],
    "last_success_at": None,
    "secret": SECRET["secret"],
}
DELIVERY: dict[str, Any] = {
    "id": "dlv_019c0a52f1b57a3c9d0e1f2a3b4c5d6e",
    "endpoint_id": WEBHOOK["id"],
    "event_id": "evt_019c0a52f1a87b4c8d5e6f7a8b9c0d1e",
    "event_type": "message.received",
    "status": "delivered",
    "attempt_count": 1,
    "next_attempt_at": None,
    "created_at": "2026-03-01T12:05:00.000Z",
    "settled_at": "2026-03-01T12:05:00.240Z",
}
DELIVERY_WITH_ATTEMPTS: dict[str, Any] = {
    **DELIVERY,
    "attempts": [
        {
            "id": "att_019c0a52f1c07d8e9f0a1b2c3d4e5f60",
            "started_at": "2026-03-01T12:05:00.050Z",
            "duration_seconds": 0.19,
            "status_code": 204,
            "error": None,
            "detail": None,
            "response_text": None,
            "manual": False,
        }
    ],
}
DELIVERY_PENDING: dict[str, Any] = {
    **DELIVERY,
    "status": "pending",
    "attempt_count": 0,
    "next_attempt_at": "2026-03-01T12:05:00.000Z",
    "settled_at": None,
    "attempts": [],
}
DELIVERY_PAGE: dict[str, Any] = {"data": [DELIVERY], "next_cursor": None}
RECOVERY: dict[str, Any] = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}
RECOVERED: dict[str, Any] = {"created_count": 12, "requeued_count": 3, "has_more": False}


def event(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event as it is polled and sent."""
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
        "oldest_due_at": _SCHEDULED,
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
