"""Holds the examples of messages: a clinic reminds a patient, who answers."""

from typing import Any

_MESSAGE_ID = "msg_019c0a4e6d3b7c529f1c0a5b8e7d2f43"
_DISPATCH_ID = "3f9c2b1e-7a54-4c1d-9a83-5d6f0e2b7c11"
QUEUED_AT = "2026-03-01T12:00:00.000Z"
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
    "send_at": "2099-03-02T08:00:00Z",
    "expires_at": "2099-03-02T10:00:00Z",
    "priority": 7,
}
DRAFTS: dict[str, Any] = {
    "short": {"summary": "Only the required fields", "value": SHORT_DRAFT},
    "reference": {"summary": "Safe to repeat", "value": DRAFT},
    "scheduled": {"summary": "At a given time, by one device", "value": SCHEDULED_DRAFT},
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
    "created_at": QUEUED_AT,
    "updated_at": QUEUED_AT,
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
            "at": QUEUED_AT,
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
