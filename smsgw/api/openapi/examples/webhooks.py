"""Holds the examples of webhook endpoints and deliveries."""

from typing import Any

from .crms import CRM_ID, CRM_LOGIN

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
