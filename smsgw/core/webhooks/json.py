"""Shows webhook endpoints, deliveries and attempts as JSON."""

from typing import Any
from urllib.parse import urlsplit

from ...clock import rfc3339, rfc3339_or_none
from ...store.models import Attempt, Delivery, WebhookEndpoint


def masked(url: str) -> str:
    """Return the URL with placeholders for the user's name and password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()


def endpoint(row: WebhookEndpoint, pending_count: int) -> dict[str, Any]:
    """Return a webhook endpoint, without its secrets."""
    return {
        "id": row.id,
        "crm_id": row.crm_id,
        "url": masked(row.url),
        "events": row.events,
        "device_ids": row.device_ids,
        "enabled": row.enabled,
        "disabled_at": rfc3339_or_none(row.disabled_at),
        "disabled_reason": row.disabled_reason,
        "failing_since": rfc3339_or_none(row.failing_since),
        "consecutive_failures": row.consecutive_failures,
        "last_success_at": rfc3339_or_none(row.last_success_at),
        "paused_until": rfc3339_or_none(row.paused_until),
        "pending_count": pending_count,
        "created_at": rfc3339(row.created_at),
    }


def delivery(row: Delivery, event_type: str, to: WebhookEndpoint) -> dict[str, Any]:
    """Return a delivery, without its attempts; while its endpoint is disabled there is no next one."""
    next_at = row.next_attempt_at if to.enabled else None
    if next_at is not None and to.paused_until is not None and row.retry_step is not None:
        next_at = max(next_at, to.paused_until)
    return {
        "id": row.id,
        "endpoint_id": row.endpoint_id,
        "event_id": row.event_id,
        "event_type": event_type,
        "status": row.status,
        "attempt_count": row.attempt_count,
        "next_attempt_at": rfc3339_or_none(next_at),
        "created_at": rfc3339(row.created_at),
        "settled_at": rfc3339_or_none(row.settled_at),
    }


def condition(row: WebhookEndpoint) -> dict[str, bool]:
    """Return whether an endpoint `is_enabled` and `is_failing`."""
    return {"is_enabled": row.enabled, "is_failing": row.failing_since is not None}


def attempt(row: Attempt) -> dict[str, Any]:
    """Return one HTTP request of a delivery."""
    return {
        "id": row.id,
        "started_at": rfc3339(row.started_at),
        "duration_seconds": round(row.duration_seconds, 3),
        "status_code": row.status_code,
        "error": row.error,
        "detail": row.detail,
        "response_text": row.response_text,
        "manual": row.is_manual,
    }
