"""Finds the last failure of an endpoint, and the bytes that were sent to it."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Attempt, Delivery, Event, WebhookEndpoint
from . import delivery_statuses
from . import json as webhook_json

_MOST_EXAMINED = 5


def next_attempt_at(session: Session, endpoint: WebhookEndpoint) -> datetime | None:
    """Return when the endpoint is tried next, `None` where nothing waits for it or it is disabled."""
    if not endpoint.enabled:
        return None
    first = session.scalar(
        sa.select(sa.func.min(Delivery.next_attempt_at)).where(
            Delivery.endpoint_id == endpoint.id, delivery_statuses.IS_PENDING
        )
    )
    if first is None or endpoint.paused_until is None:
        return first
    return max(first, endpoint.paused_until)


def last_failure(session: Session, endpoint: WebhookEndpoint) -> dict[str, Any] | None:
    """Return the newest failed attempt with its `delivery_id`, `None` if a few deliveries show none.

    Examines those that wait the longest for their next attempt, those that are next, and the newest.
    """
    is_its = Delivery.endpoint_id == endpoint.id
    waiting = sa.select(Delivery.id).where(is_its, delivery_statuses.IS_PENDING)
    orders = (
        waiting.order_by(Delivery.next_attempt_at.desc()),
        waiting.order_by(Delivery.next_attempt_at),
        sa.select(Delivery.id).where(is_its).order_by(Delivery.id.desc()),
    )
    ids = {
        delivery_id
        for order in orders
        for delivery_id in session.scalars(order.limit(_MOST_EXAMINED))
    }
    has_failed = sa.or_(Attempt.status_code.is_(None), ~Attempt.status_code.between(200, 299))
    found = session.scalars(
        sa.select(Attempt)
        .where(Attempt.delivery_id.in_(ids), has_failed)
        .order_by(Attempt.started_at.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    return {**webhook_json.attempt(found), "delivery_id": found.delivery_id}


def body_of(session: Session, delivery: Delivery) -> str:
    """Return the text of the event whose bytes are signed and sent."""
    return session.scalars(sa.select(Event.body).where(Event.id == delivery.event_id)).one()


def body_sent(session: Session, endpoint: WebhookEndpoint, event_id: str) -> str | None:
    """Return the text of the event with this `webhook-id`, `None` if the endpoint never got it."""
    return session.scalar(
        sa.select(Event.body)
        .join(Delivery, Delivery.event_id == Event.id)
        .where(Event.id == event_id, Delivery.endpoint_id == endpoint.id)
    )
