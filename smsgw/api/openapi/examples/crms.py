"""Holds the examples of CRMs."""

from typing import Any

CRM_ID = "crm_019c09f0a1b27c3d8e4f5a6b7c8d9e0f"
CRM: dict[str, Any] = {
    "id": CRM_ID,
    "name": "clinic",
    "enabled": True,
    "approved": True,
    "strict_numbers": False,
    "queue_limit": None,
    "requests_per_minute": None,
    "stop_words": ["STOP", "UNSUBSCRIBE"],
    "start_words": ["START"],
    "loop_guard": 5,
    "sticky_sender": False,
    "device_ids": None,
    "created_at": "2026-02-01T09:00:00.000Z",
    "key_used_at": "2026-03-01T12:00:00.000Z",
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
CRM_KEY: dict[str, Any] = {key: CRM_LOGIN[key] for key in ("id", "name", "api_key")}
