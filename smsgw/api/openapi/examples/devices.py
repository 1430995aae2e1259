"""Holds the examples of devices."""

from typing import Any

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
    "silences": [],
    "limits": {
        "segments_per_minute": None,
        "segments_per_hour": 100,
        "segments_per_day": None,
        "recipients_per_month": None,
    },
    "usage": {
        "segments_per_minute": {"limit": 24, "used": 1},
        "segments_per_hour": {"limit": 100, "used": 17},
        "segments_per_day": {"limit": None, "used": None},
        "recipients_per_month": {"limit": None, "used": None},
    },
    "limited_until": None,
    "limited_reason": None,
    "created_at": "2026-02-01T09:00:00.000Z",
}
SILENCE: dict[str, Any] = {
    "reason": "not_receiving",
    "since": "2026-02-20T08:31:07.000Z",
    "text": (
        "The phone sends, and has received nothing since 2026-02-20 08:31 UTC while other phones have: switch RCS "
        "(chat features) off in the phone's messages app, because it takes SMS away silently; then send it an SMS, "
        "and look whether the app is still the one that receives them."
    ),
}
OWN_DEVICE: dict[str, Any] = {**DEVICE, "crm_id": None, "crm": None, "approved": True}
NEW_DEVICE: dict[str, Any] = {"device_id": "phone-1", "phone": "+4930123456", "key": False}
DEVICE_LOGIN: dict[str, Any] = {
    "device_id": "phone-1",
    "username": "phone-1",
    "password": "k7m2p9q4r8s3t6u5v2w9",
    "url": "https://phone-1:k7m2p9q4r8s3t6u5v2w9@sms.example.org/api/sms",
}
