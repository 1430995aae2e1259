"""Holds the examples of opt-outs."""

from typing import Any

OPT_OUT: dict[str, Any] = {
    "number": "+12025550123",
    "note": None,
    "source": "sms",
    "message_id": "msg_019c0a52f1a47d0e8b3c6e9f21d5a780",
    "created_at": "2026-03-01T12:05:00.000Z",
}
NEW_OPT_OUT: dict[str, Any] = {"number": "+12025550123", "note": "asked on the phone"}
OPT_OUT_PAGE: dict[str, Any] = {"data": [OPT_OUT], "next_cursor": None}
