"""Rows that tests write themselves."""

from datetime import datetime
from typing import Any

from smsgw.store.models import Message


def message(message_id: str, status: str, at: datetime, **values: Any) -> Message:
    """A message of one segment that was made and last changed at this moment; outbound, where nothing else is given."""
    return Message(
        **{
            "id": message_id,
            "direction": "outbound",
            "status": status,
            "encoding": "gsm7",
            "segments": 1,
            "created_at": at,
            "updated_at": at,
            **values,
        }
    )
