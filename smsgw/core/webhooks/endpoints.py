"""Manages webhook endpoints: URL, subscribed events, and whether each is enabled."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import Conflict, NotFound
from ...store.db import wake_up
from ...store.models import Crm, Delivery, WebhookEndpoint
from ...store.rows import AnyCrm
from ..events import recording
from . import delivery_statuses, subscriptions, urls
from . import json as webhook_json

BY_HAND = "disabled by hand"


class Changes(TypedDict, total=False):
    """Changes to an endpoint; what is left out stays as it is. `None` means all."""

    url: urls.Checked
    events: list[str] | None
    device_ids: list[str] | None
    enabled: bool


def add(
    session: Session,
    crm: AnyCrm,
    url: urls.Checked,
    *,
    most: int,
    now: datetime,
    event_types: Sequence[str] | None = None,
    device_ids: Sequence[str] | None = None,
    enabled: bool = True,
) -> tuple[WebhookEndpoint, str]:
    """Add an endpoint and return it with its secret, which is shown only now.

    `event_types` and `device_ids` are what it subscribes to; `None` means all, future ones too. Raises `Invalid`, and
    `Conflict` if the CRM has `most` endpoints already.
    """
    _check_count(session, crm.id, most)
    secret = ids.new_webhook_secret()
    endpoint = WebhookEndpoint(
        id=ids.new_endpoint_id(),
        crm_id=crm.id,
        url=url,
        events=subscriptions.checked_types(event_types),
        device_ids=subscriptions.checked_devices(session, crm.id, device_ids),
        secrets=[{"secret": secret, "expires_at": None}],
        enabled=enabled,
        disabled_at=None if enabled else now,
        disabled_reason=None if enabled else BY_HAND,
        created_at=now,
    )
    session.add(endpoint)
    session.flush()
    return endpoint, secret


def get(session: Session, crm_id: str, endpoint_id: str) -> WebhookEndpoint:
    """Return the CRM's own endpoint. Raises `NotFound` for all others and for removed ones."""
    return _one(session, endpoint_id, WebhookEndpoint.crm_id == crm_id)


def get_any(session: Session, endpoint_id: str) -> WebhookEndpoint:
    """Return the endpoint, whichever CRM it belongs to: for operators."""
    return _one(session, endpoint_id, sa.true())


def of_delivery(session: Session, delivery: Delivery) -> WebhookEndpoint:
    """Return the endpoint of the delivery, even if it has been removed since."""
    return session.get_one(WebhookEndpoint, delivery.endpoint_id)


def of_crm(session: Session, crm_id: str) -> list[WebhookEndpoint]:
    """Return the CRM's endpoints, oldest first."""
    return _several(session, WebhookEndpoint.crm_id == crm_id)


def everyone(session: Session) -> list[WebhookEndpoint]:
    """Return the endpoints of all CRMs, oldest first: for operators."""
    return _several(session, sa.true())


def update(session: Session, endpoint: WebhookEndpoint, changes: Changes, now: datetime) -> None:
    """Change what `changes` names; another URL starts without failures. Raises `Invalid`."""
    lock(session, endpoint)
    if "events" in changes:
        endpoint.events = subscriptions.checked_types(changes["events"])
    if "device_ids" in changes:
        endpoint.device_ids = subscriptions.checked_devices(
            session, endpoint.crm_id, changes["device_ids"]
        )
    if "url" in changes and changes["url"] != endpoint.url:
        endpoint.url = changes["url"]
        forget_failures(session, endpoint)
    if changes.get("enabled") is True:
        enable(session, endpoint)
    if changes.get("enabled") is False:
        disable(session, endpoint, now)


def enable(session: Session, endpoint: WebhookEndpoint) -> None:
    """Enable the endpoint and send what waits for it; `recover` sends what happened meanwhile."""
    lock(session, endpoint)
    if endpoint.enabled:
        return
    endpoint.enabled = True
    endpoint.disabled_at = endpoint.disabled_reason = None
    forget_failures(session, endpoint)


def disable(session: Session, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Disable the endpoint by hand; what waits for it is kept, and new events are not delivered to it."""
    lock(session, endpoint)
    if endpoint.enabled:
        _switch_off(endpoint, BY_HAND, now)


def disable_and_announce(
    session: Session, endpoint: WebhookEndpoint, reason: str, now: datetime
) -> None:
    """Disable an endpoint that fails, and announce `webhook.disabled` to its CRM."""
    _switch_off(endpoint, reason, now)
    session.flush()
    new_event = recording.NewEvent("webhook.disabled", endpoint.crm_id, shape(session, endpoint))
    recording.record(session, [new_event], now)


def remove(session: Session, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Remove the endpoint with its secrets, and discard what waits for it."""
    lock(session, endpoint)
    endpoint.removed_at = now
    endpoint.enabled = False
    endpoint.secrets = []
    session.flush()
    session.execute(
        sa.update(Delivery)
        .where(Delivery.endpoint_id == endpoint.id, delivery_statuses.IS_PENDING)
        .values(
            status=delivery_statuses.DISCARDED, claim=None, next_attempt_at=None, settled_at=now
        )
    )


def shape(session: Session, endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return the endpoint in JSON, without its secret."""
    return shapes(session, [endpoint])[0]


def shapes(session: Session, endpoints: Sequence[WebhookEndpoint]) -> list[dict[str, Any]]:
    """Return several endpoints in JSON, with one query for `pending_count`."""
    counts = pending_counts(session, [endpoint.id for endpoint in endpoints])
    return [webhook_json.endpoint(endpoint, counts[endpoint.id]) for endpoint in endpoints]


def pending_counts(session: Session, endpoint_ids: Sequence[str]) -> Counter[str]:
    """Return how many deliveries wait or are on their way, by endpoint, in one query."""
    pending = sa.select(Delivery.endpoint_id, sa.func.count()).where(
        Delivery.endpoint_id.in_(endpoint_ids), delivery_statuses.IS_PENDING
    )
    rows = session.execute(pending.group_by(Delivery.endpoint_id))
    return Counter({endpoint_id: int(count) for endpoint_id, count in rows})


def lock(session: Session, endpoint: WebhookEndpoint) -> None:
    """Lock the endpoint's row until the commit and reload it; new deliveries for it do not wait."""
    session.flush()
    session.refresh(endpoint, with_for_update={"key_share": True})


def forget_failures(session: Session, endpoint: WebhookEndpoint) -> None:
    """Reset the endpoint's failures, and let the worker deliver what waits for it."""
    endpoint.consecutive_failures = endpoint.failing_event_count = 0
    endpoint.failing_since = endpoint.paused_until = None
    endpoint.has_timed_out = False
    wake_up(session)


def _check_count(session: Session, crm_id: str, most: int) -> None:
    # Simultaneous calls wait for each other.
    lock = sa.select(Crm.id).where(Crm.id == crm_id).with_for_update(key_share=True)
    session.execute(lock)
    is_of_crm = sa.and_(WebhookEndpoint.crm_id == crm_id, WebhookEndpoint.removed_at.is_(None))
    if session.scalars(sa.select(sa.func.count()).where(is_of_crm)).one() >= most:
        text = f"there are {most:,} webhook endpoints already, which is the most a CRM may have"
        raise Conflict(text, code="too_many_webhooks")


def _one(session: Session, endpoint_id: str, condition: sa.ColumnElement[bool]) -> WebhookEndpoint:
    endpoint = session.scalars(
        sa.select(WebhookEndpoint).where(
            WebhookEndpoint.id == endpoint_id, WebhookEndpoint.removed_at.is_(None), condition
        )
    ).one_or_none()
    if endpoint is None:
        raise NotFound(f"no webhook endpoint {endpoint_id[:80]!r}")
    return endpoint


def _several(session: Session, condition: sa.ColumnElement[bool]) -> list[WebhookEndpoint]:
    return list(
        session.scalars(
            sa.select(WebhookEndpoint)
            .where(WebhookEndpoint.removed_at.is_(None), condition)
            .order_by(WebhookEndpoint.id)
        )
    )


def _switch_off(endpoint: WebhookEndpoint, reason: str, now: datetime) -> None:
    endpoint.enabled = False
    endpoint.disabled_at = now
    endpoint.disabled_reason = reason
