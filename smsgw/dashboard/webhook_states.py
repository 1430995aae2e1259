"""Describes the state of a webhook."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..core.webhooks import endpoints

PAUSED = "failing, paused"


class WebhookState(NamedTuple):
    """Its place in the list, its state (`ok`, `warning`, `wrong` or empty), and the word for it."""

    order: int
    state: str
    word: str


def of(shape: Mapping[str, Any], now: datetime) -> WebhookState:
    """Return the state of an endpoint; in a list, failing ones come first, then disabled ones."""
    if not shape["enabled"]:
        is_by_hand = shape["disabled_reason"] == endpoints.BY_HAND
        return WebhookState(2, "", "disabled") if is_by_hand else WebhookState(1, "wrong", "off")
    if shape["failing_since"]:
        until = shape["paused_until"]
        is_paused = until is not None and datetime.fromisoformat(until) > now
        return WebhookState(0, "wrong", PAUSED if is_paused else "failing")
    return (
        WebhookState(3, "ok", "works") if shape["last_success_at"] else WebhookState(3, "", "new")
    )
