"""Lists deliveries, sends a test event to an endpoint, and delivers events again on request."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict, Invalid, NotFound
from ...store import audit
from ...store.db import wake_up
from ...store.models import Attempt, Delivery, Event, HistoryEntry, WebhookEndpoint
from ..events import recording
from . import delivery_statuses, endpoints
from . import json as webhook_json

MOST_RECOVERED = 10_000
_AT_ONCE = 1000


def page(
    session: Session, endpoint: WebhookEndpoint, status: str | None, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the endpoint's deliveries in JSON, newest first, and the cursor of the next page (`None` on the last)."""
    statement = (
        sa.select(Delivery, Event.type)
        .join(Event, Event.id == Delivery.event_id)
        .where(Delivery.endpoint_id == endpoint.id)
        .order_by(Delivery.id.desc())
        .limit(limit + 1)
    )
    if status is not None:
        statement = statement.where(Delivery.status == status)
    if cursor is not None:
        statement = statement.where(Delivery.id < cursor)
    rows = session.execute(statement).all()
    shown = [
        webhook_json.delivery(delivery, event_type, endpoint)
        for delivery, event_type in rows[:limit]
    ]
    return shown, shown[-1]["id"] if len(rows) > limit else None


def get(session: Session, crm_id: str, delivery_id: str) -> Delivery:
    """Return the CRM's own delivery. Raises `NotFound` for all others and for those of removed endpoints."""
    return _one(session, delivery_id, WebhookEndpoint.crm_id == crm_id)


def get_any(session: Session, delivery_id: str) -> Delivery:
    """Return the delivery, whichever CRM it belongs to: for operators."""
    return _one(session, delivery_id, sa.true())


def shape(session: Session, delivery: Delivery) -> dict[str, Any]:
    """Return the delivery in JSON, with all its attempts, oldest first."""
    event_type = session.scalars(sa.select(Event.type).where(Event.id == delivery.event_id)).one()
    attempts = session.scalars(
        sa.select(Attempt).where(Attempt.delivery_id == delivery.id).order_by(Attempt.id)
    )
    endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
    return {
        **webhook_json.delivery(delivery, event_type, endpoint),
        "attempts": [webhook_json.attempt(attempt) for attempt in attempts],
    }


def of_message(
    session: Session, message_id: str, crm_ids: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Return the deliveries of a message's events, each with the endpoint's URL and the last attempt, oldest first.

    Only those to endpoints of these CRMs; `None` for all.
    """
    # An event has the time of its line in the message's history, to the microsecond, and an index on it.
    moments = sa.select(HistoryEntry.at).where(HistoryEntry.message_id == message_id).distinct()
    wanted = (
        sa.select(Delivery, Event.type, WebhookEndpoint)
        .join(Event, Event.id == Delivery.event_id)
        .join(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .where(Event.created_at.in_(session.scalars(moments).all()), Event.message_id == message_id)
        .order_by(Event.seq, Delivery.id)
    )
    if crm_ids is not None:
        wanted = wanted.where(WebhookEndpoint.crm_id.in_(crm_ids))
    rows = session.execute(wanted).all()
    last = last_attempts(session, [delivery.id for delivery, _, _ in rows])
    return [
        {
            **webhook_json.delivery(delivery, event_type, endpoint),
            "url": webhook_json.masked(endpoint.url),
            **webhook_json.condition(endpoint),
            "last_attempt": last.get(delivery.id),
        }
        for delivery, event_type, endpoint in rows
    ]


def last_attempts(session: Session, delivery_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return in JSON the newest attempt of each of these deliveries, by the id of the delivery."""
    newest = (
        sa.select(sa.func.max(Attempt.id))
        .where(Attempt.delivery_id.in_(delivery_ids))
        .group_by(Attempt.delivery_id)
    )
    attempts = session.scalars(sa.select(Attempt).where(Attempt.id.in_(newest)))
    return {attempt.delivery_id: webhook_json.attempt(attempt) for attempt in attempts}


def ping(session: Session, endpoint: WebhookEndpoint, now: datetime) -> str:
    """Send `webhook.ping` to this endpoint alone, once, also while it is paused; return the delivery's id."""
    _must_be_enabled(endpoint)
    new_event = recording.NewEvent("webhook.ping", endpoint.crm_id, {"endpoint_id": endpoint.id})
    delivery_id = recording.record_for(session, endpoint, new_event, now)
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id == delivery_id)
        .values(retry_step=None, is_manual=True)
    )
    audit.note(session, "webhook", endpoint.id, "test", fields={"delivery_id": [None, delivery_id]})
    return delivery_id


def replay(session: Session, delivery: Delivery, now: datetime) -> None:
    """Deliver the event again at once under the same `webhook-id`.

    One that had ended gets a single attempt; one that waits for its next attempt gets it now and keeps its schedule.
    `Conflict` while an attempt runs or the endpoint is disabled.
    """
    endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
    endpoints.lock(session, endpoint)
    session.refresh(delivery, with_for_update=True)
    _must_be_enabled(endpoint)
    if delivery.claim is not None and delivery.next_attempt_at and delivery.next_attempt_at > now:
        raise Conflict("this delivery is on its way right now", code="in_flight")
    if delivery.status != delivery_statuses.PENDING:
        delivery.status = delivery_statuses.PENDING
        delivery.retry_step = None
    delivery.is_manual = True
    delivery.next_attempt_at = now
    delivery.claim = None
    fields = {"delivery_id": [None, delivery.id]}
    audit.note(session, "webhook", endpoint.id, "replay", fields=fields)
    wake_up(session)


def recover(
    session: Session, endpoint: WebhookEndpoint, since: datetime, until: datetime, now: datetime
) -> dict[str, Any]:
    """Put down again what did not reach the endpoint of the events from `since` to before `until`, oldest first.

    That is what it wants and never got (it was disabled, or not there yet), and what was discarded; each gets the
    whole retry schedule and its old `webhook-id`. At most 10,000 at once: call again while `has_more`.
    Returns `{"created_count", "requeued_count", "has_more"}`. Raises `Invalid`, `Conflict` when disabled.
    """
    if since >= until:
        raise Invalid.sentence("since", "'since' must lie before 'until'.")
    endpoints.lock(session, endpoint)
    _must_be_enabled(endpoint)
    found = session.execute(_lost(endpoint, since, until).limit(MOST_RECOVERED + 1)).all()
    lost = found[:MOST_RECOVERED]
    missing = [event_id for event_id, delivery_id in lost if delivery_id is None]
    discarded = [delivery_id for _, delivery_id in lost if delivery_id is not None]
    made = recording.deliver(session, [(event_id, endpoint.id) for event_id in missing], now)
    for start in range(0, len(lost), _AT_ONCE):
        _start_again(session, (made + discarded)[start : start + _AT_ONCE], now)
    wake_up(session)
    counts = {"created_count": len(made), "requeued_count": len(discarded)}
    span = {"since": since, "until": until}
    fields = {name: [None, value] for name, value in {**span, **counts}.items()}
    audit.note(session, "webhook", endpoint.id, "recover", fields=fields)
    return {**counts, "has_more": len(found) > len(lost)}


def _must_be_enabled(endpoint: WebhookEndpoint) -> None:
    """Raise `Conflict` for an endpoint that is switched off."""
    if not endpoint.enabled:
        raise Conflict(
            f"the webhook endpoint is disabled ({endpoint.disabled_reason}): enable it first",
            code="webhook_disabled",
        )


def _lost(
    endpoint: WebhookEndpoint, since: datetime, until: datetime
) -> sa.Select[str, str | None]:
    is_of_this = sa.and_(Delivery.event_id == Event.id, Delivery.endpoint_id == endpoint.id)
    statement = (
        sa.select(Event.id, Delivery.id)
        .outerjoin(Delivery, is_of_this)
        .where(
            Event.crm_id == endpoint.crm_id,
            Event.created_at >= since,
            Event.created_at < until,
            # A ping was for one endpoint at one moment.
            Event.type != "webhook.ping",
            sa.or_(Delivery.id.is_(None), Delivery.status == delivery_statuses.DISCARDED),
        )
        .order_by(Event.created_at, Event.seq)
    )
    if endpoint.events is not None:
        statement = statement.where(Event.type.in_(endpoint.events))
    if endpoint.device_ids is not None:
        is_of_device = Event.device_id.in_(endpoint.device_ids)
        statement = statement.where(sa.or_(Event.device_id.is_(None), is_of_device))
    return statement


def _start_again(session: Session, delivery_ids: list[str], now: datetime) -> None:
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(delivery_ids))
        .values(
            status=delivery_statuses.PENDING,
            retry_step=0,
            is_manual=True,
            next_attempt_at=now,
            claim=None,
            settled_at=None,
        )
    )


def _one(session: Session, delivery_id: str, condition: sa.ColumnElement[bool]) -> Delivery:
    delivery = session.scalars(
        sa.select(Delivery)
        .join(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .where(Delivery.id == delivery_id, WebhookEndpoint.removed_at.is_(None), condition)
    ).one_or_none()
    if delivery is None:
        raise NotFound(f"no delivery {delivery_id[:80]!r}")
    return delivery
