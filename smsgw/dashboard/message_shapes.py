"""Prepares messages for the templates: as REST shows them, and whether they are paused."""

from typing import Any

from ..core.devices import lanes
from ..core.messages import json as message_json
from ..store.models import Message


def of(row: Message) -> dict[str, Any]:
    """Return the fields of a message; those that `formatting.status` needs are among them."""
    return {**message_json.message(row), "is_paused": lanes.is_paused(row.lane)}
