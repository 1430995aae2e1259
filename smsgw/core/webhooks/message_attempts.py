"""Lists the webhook requests that were made about one message."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339, rfc3339_or_none
from ...store.models import Attempt, Delivery, Event, HistoryEntry, WebhookEndpoint
from . import json as webhook_json


def of_message(session: Session, message_id: str) -> list[dict[str, Any]]:
    """Return `{"at", "event_type", "status_code", "error", "next_attempt_at", "delivery_id", "url"}` for each request.

    They are oldest first. A delivery that nothing was sent of yet is one too, without `at`.
    """
    rows = session.execute(
        sa.select(Delivery, Event.type, WebhookEndpoint.url, Attempt)
        .join(Event, Event.id == Delivery.event_id)
        .join(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .outerjoin(Attempt, Attempt.delivery_id == Delivery.id)
        .where(
            # An event has the time of its line in the history, which leads to it by an index.
            Event.created_at.in_(_moments(session, message_id)),
            Event.message_id == message_id,
            WebhookEndpoint.removed_at.is_(None),
        )
        .order_by(Event.seq, Delivery.id, Attempt.id)
    ).all()
    return [_shape(*row) for row in rows]


def _moments(session: Session, message_id: str) -> Sequence[datetime]:
    statement = sa.select(HistoryEntry.at).where(HistoryEntry.message_id == message_id).distinct()
    return session.scalars(statement).all()


def _shape(
    delivery: Delivery, event_type: str, url: str, attempt: Attempt | None
) -> dict[str, Any]:
    return {
        "at": None if attempt is None else rfc3339(attempt.started_at),
        "event_type": event_type,
        "status_code": None if attempt is None else attempt.status_code,
        "error": None if attempt is None else attempt.error,
        "next_attempt_at": rfc3339_or_none(delivery.next_attempt_at),
        "delivery_id": delivery.id,
        "url": webhook_json.masked(url),
    }
