"""What messages and webhooks look like in JSON, in REST answers and in events alike."""

from typing import Any
from urllib.parse import urlsplit

from ...clock import rfc3339, rfc3339_or_none
from ...store.models import Attempt, Delivery, Dispatch, HistoryEntry, Message, WebhookEndpoint
from ...store.rows import MessageRow


def message(row: Message | MessageRow) -> dict[str, Any]:
    """A message as the contract shows it. Inbound ones have `received_at`, `device_received_at`, `sms_sent_at` too."""
    shape = {
        "id": row.id,
        "direction": row.direction,
        "device_id": row.device_id,
        "from": row.from_number,
        "to": row.to_number,
        "content": row.content,
        "encoding": row.encoding,
        "segments": row.segments,
        "status": row.status,
        "reason": row.reason,
        "reason_class": row.reason_class,
        "reference": row.reference,
        "metadata": row.metadata_,
        "priority": row.priority,
        "send_at": rfc3339_or_none(row.send_at),
        "expires_at": rfc3339_or_none(row.expires_at),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "sent_at": rfc3339_or_none(row.sent_at),
        "delivered_at": rfc3339_or_none(row.delivered_at),
        "stuck_at": rfc3339_or_none(row.stuck_at),
    }
    if row.direction == "inbound":
        shape["received_at"] = rfc3339(row.created_at)
        shape["device_received_at"] = rfc3339_or_none(row.device_received_at)
        shape["sms_sent_at"] = rfc3339_or_none(row.sms_sent_at)
    return shape


def history_entry(row: HistoryEntry) -> dict[str, Any]:
    """One line of a message's history."""
    return {
        "status": row.status,
        "reason": row.reason,
        "at": rfc3339(row.at),
        "device_id": row.device_id,
        "dispatch_id": row.dispatch_id,
    }


def dispatch(row: Dispatch) -> dict[str, Any]:
    """One handing of a message to a device; `id` is what the phone sees."""
    return {
        "id": row.id,
        "device_id": row.device_id,
        "status": row.status,
        "reason": row.reason,
        "reason_class": row.reason_class,
        "handed_out_at": rfc3339(row.handed_out_at),
        "hand_out_count": row.hand_out_count,
        "acknowledged_at": rfc3339_or_none(row.acknowledged_at),
    }


def endpoint(row: WebhookEndpoint, pending_count: int) -> dict[str, Any]:
    """A webhook endpoint, without its secrets."""
    return {
        "id": row.id,
        "crm_id": row.crm_id,
        "url": _masked(row.url),
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


def delivery(row: Delivery, event_type: str) -> dict[str, Any]:
    """A delivery, without its attempts."""
    return {
        "id": row.id,
        "endpoint_id": row.endpoint_id,
        "event_id": row.event_id,
        "event_type": event_type,
        "status": row.status,
        "attempt_count": row.attempt_count,
        "next_attempt_at": rfc3339_or_none(row.next_attempt_at),
        "created_at": rfc3339(row.created_at),
        "settled_at": rfc3339_or_none(row.settled_at),
    }


def attempt(row: Attempt) -> dict[str, Any]:
    """One HTTP request of a delivery."""
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


def _masked(url: str) -> str:
    """The URL without a user's name and password: their place shows that they are there."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()
