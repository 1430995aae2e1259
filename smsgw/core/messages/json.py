"""Shows messages as JSON, in REST answers and in events alike."""

from typing import Any

from ...clock import rfc3339, rfc3339_or_none
from ...store.models import Dispatch, HistoryEntry, Message
from ...store.rows import MessageRow


def message(row: Message | MessageRow) -> dict[str, Any]:
    """Return a message as the API shows it; inbound ones with `received_at`, `device_received_at`, `sms_sent_at`."""
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
    """Return one line of a message's history."""
    return {
        "status": row.status,
        "reason": row.reason,
        "at": rfc3339(row.at),
        "device_id": row.device_id,
        "dispatch_id": row.dispatch_id,
    }


def dispatch(row: Dispatch) -> dict[str, Any]:
    """Return one handing of a message to a device; `id` is what the phone sees."""
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
