"""Holds the example of the audit."""

from typing import Any

AUDIT_PAGE: dict[str, Any] = {
    "data": [
        {
            "id": "aud_019c0a52f1a47d0e8b3c6e9f21d5a780",
            "at": "2026-03-01T12:05:00.000Z",
            "actor_kind": "operator",
            "actor_id": "olga",
            "actor_name": "olga",
            "address": "192.0.2.7",
            "action": "device.limit",
            "object_kind": "device",
            "object_id": "phone-1",
            "object_name": "phone-1",
            "changes": {"segments_per_hour": [None, 100]},
        }
    ],
    "next_cursor": None,
}
