"""Webhook endpoints: where a CRM wants its events, with which secrets, and whether it is switched on."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NewType, TypedDict

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .. import brokers, ids
from ..addresses import AddressRefused, Guard, NameUnknown, check_url
from ..brokers import BrokerRefused
from ..clock import rfc3339
from ..errors import Conflict, NotFound
from ..store.models import Delivery, WebhookEndpoint
from . import events, wishes
from . import shapes as json_shapes
from .rows import AnyCrm

GRACE_SECONDS = 24 * 3600
LONGEST_GRACE_SECONDS = 30 * 24 * 3600
LONGEST_URL = 2048
BY_HAND = "disabled by hand"
_MOST_SECRETS = 10

# A URL that `checked_url` let through.
CheckedUrl = NewType("CheckedUrl", str)


class Changes(TypedDict, total=False):
    """What may be changed of an endpoint; what is left out stays as it is. `None` means all."""

    url: CheckedUrl
    events: list[str] | None
    device_ids: list[str] | None
    enabled: bool


def checked_url(url: str, guard: Guard) -> CheckedUrl:
    """The URL, if a webhook may go there; `Invalid` with the reason if not.

    It asks the DNS, so call it before a transaction is begun.
    """
    _check_length(url)
    try:
        if brokers.is_broker(url):
            brokers.check(url)
        check_url(url, guard)
    except (BrokerRefused, AddressRefused) as error:
        raise wishes.refused("url", str(error)) from None
    return CheckedUrl(url)


def checked_callback(url: str, guard: Guard) -> CheckedUrl:
    """The same for `callbackUrl` of the CRM WebSocket API: no broker, but a name that the DNS will know later.

    Nothing is loosened by that: the guard is asked again at each delivery.
    """
    _check_length(url)
    if not url.lower().startswith(("https://", "http://")):
        raise wishes.refused("url", "The URL must begin with https:// or http://.")
    try:
        check_url(url, guard)
    except NameUnknown:
        return CheckedUrl(url)
    except AddressRefused as error:
        raise wishes.refused("url", str(error)) from None
    return CheckedUrl(url)


def add(
    session: Session,
    crm: AnyCrm,
    url: CheckedUrl,
    *,
    event_types: Sequence[str] | None,
    device_ids: Sequence[str] | None,
    enabled: bool,
    now: datetime,
) -> tuple[WebhookEndpoint, str]:
    """Makes an endpoint and returns it with its secret, which REST shows only now.

    `event_types` and `device_ids` are what it wants; `None` means all, future ones too. Raises `Invalid`.
    """
    secret = ids.new_webhook_secret()
    endpoint = WebhookEndpoint(
        id=ids.new_endpoint_id(),
        crm_id=crm.id,
        url=url,
        events=wishes.checked_types(event_types),
        device_ids=wishes.checked_devices(session, crm.id, device_ids),
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
    """The CRM's own endpoint; `NotFound` for all others and for removed ones."""
    return _one(session, endpoint_id, WebhookEndpoint.crm_id == crm_id)


def get_any(session: Session, endpoint_id: str) -> WebhookEndpoint:
    """The endpoint, whichever CRM it belongs to: for operators."""
    return _one(session, endpoint_id, sa.true())


def of_crm(session: Session, crm_id: str) -> list[WebhookEndpoint]:
    """The CRM's endpoints, oldest first."""
    return _several(session, WebhookEndpoint.crm_id == crm_id)


def everyone(session: Session) -> list[WebhookEndpoint]:
    """The endpoints of all CRMs, oldest first: for operators."""
    return _several(session, sa.true())


def update(session: Session, endpoint: WebhookEndpoint, changes: Changes, now: datetime) -> None:
    """Changes what is named in `changes`; another URL starts with a clean record. Raises `Invalid`."""
    lock(session, endpoint)
    if "events" in changes:
        endpoint.events = wishes.checked_types(changes["events"])
    if "device_ids" in changes:
        endpoint.device_ids = wishes.checked_devices(
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
    """Switches the endpoint on; what was waiting for it goes out. What happened meanwhile is for `recover`."""
    lock(session, endpoint)
    if endpoint.enabled:
        return
    endpoint.enabled = True
    endpoint.disabled_at = endpoint.disabled_reason = None
    forget_failures(session, endpoint)


def disable(session: Session, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Switches the endpoint off by hand; what is waiting for it is kept, new events are not put down for it."""
    lock(session, endpoint)
    if endpoint.enabled:
        _switch_off(endpoint, BY_HAND, now)


def disable_and_tell(
    session: Session, endpoint: WebhookEndpoint, reason: str, now: datetime
) -> None:
    """Switches the endpoint off by itself, and tells its CRM with `webhook.disabled` in the feed and elsewhere."""
    _switch_off(endpoint, reason, now)
    session.flush()
    happening = events.Happening("webhook.disabled", endpoint.crm_id, shape(session, endpoint))
    events.record(session, [happening], now)


def remove(session: Session, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Takes the endpoint away for good; what was waiting for it is discarded, and its secrets are forgotten."""
    lock(session, endpoint)
    endpoint.removed_at = now
    endpoint.enabled = False
    endpoint.secrets = []
    session.flush()
    session.execute(
        sa.update(Delivery)
        .where(Delivery.endpoint_id == endpoint.id, _IS_PENDING)
        .values(status="discarded", claim=None, next_attempt_at=None, settled_at=now)
    )


def rotate_secret(
    session: Session, endpoint: WebhookEndpoint, grace_seconds: int, now: datetime
) -> str:
    """Gives the endpoint a new secret and returns it; the old one signs too for `grace_seconds`.

    0 makes the old ones void at once, for a secret that has leaked. Raises `Invalid`.
    """
    if not 0 <= grace_seconds <= LONGEST_GRACE_SECONDS:
        text = f"grace_seconds is 0 to {LONGEST_GRACE_SECONDS}."
        raise wishes.refused("grace_seconds", text)
    lock(session, endpoint)
    last = rfc3339(now + timedelta(seconds=grace_seconds))
    old = [
        {"secret": entry["secret"], "expires_at": min(entry["expires_at"] or last, last)}
        for entry in _live(endpoint, now)
        if grace_seconds
    ]
    secret = ids.new_webhook_secret()
    new: list[dict[str, str | None]] = [{"secret": secret, "expires_at": None}]
    endpoint.secrets = new + [dict(entry) for entry in old[: _MOST_SECRETS - 1]]
    return secret


def secrets(endpoint: WebhookEndpoint | sa.Row[Any], now: datetime) -> list[str]:
    """The secrets that sign at this moment, newest first."""
    return [str(entry["secret"]) for entry in _live(endpoint, now)]


def ping(session: Session, endpoint: WebhookEndpoint, now: datetime) -> str:
    """Sends `webhook.ping` to this endpoint alone, once, also while it is paused; returns the delivery's id."""
    must_be_enabled(endpoint)
    happening = events.Happening("webhook.ping", endpoint.crm_id, {"endpoint_id": endpoint.id})
    delivery_id = events.record_for(session, endpoint, happening, now)
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id == delivery_id)
        .values(retry_step=None, is_manual=True)
    )
    return delivery_id


def shape(session: Session, endpoint: WebhookEndpoint) -> dict[str, Any]:
    """The endpoint in JSON, without its secret."""
    return shapes(session, [endpoint])[0]


def shapes(session: Session, endpoints: Sequence[WebhookEndpoint]) -> list[dict[str, Any]]:
    """The same for many, with one query for `pending_count`, the deliveries that wait or are on their way."""
    pending = sa.select(Delivery.endpoint_id, sa.func.count()).where(
        Delivery.endpoint_id.in_([endpoint.id for endpoint in endpoints]), _IS_PENDING
    )
    rows = session.execute(pending.group_by(Delivery.endpoint_id))
    counts = {row[0]: row[1] for row in rows}
    return [json_shapes.endpoint(endpoint, counts.get(endpoint.id, 0)) for endpoint in endpoints]


def lock(session: Session, endpoint: WebhookEndpoint) -> None:
    """Takes the endpoint's row until the commit, as it is now; new deliveries for it are not held up."""
    session.flush()
    session.refresh(endpoint, with_for_update={"key_share": True})


def forget_failures(session: Session, endpoint: WebhookEndpoint) -> None:
    """Makes the endpoint one that has not failed, and lets the postman look at what waits for it."""
    endpoint.consecutive_failures = endpoint.failing_event_count = 0
    endpoint.failing_since = endpoint.paused_until = None
    endpoint.has_timed_out = False
    session.info["has_news"] = True


def must_be_enabled(endpoint: WebhookEndpoint) -> None:
    """Raises `Conflict` for an endpoint that is switched off."""
    if not endpoint.enabled:
        raise Conflict(
            f"the webhook endpoint is disabled ({endpoint.disabled_reason}): enable it first",
            code="webhook_disabled",
        )


_IS_PENDING = Delivery.status == sa.literal_column("'pending'")


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


def _live(endpoint: WebhookEndpoint | sa.Row[Any], now: datetime) -> list[dict[str, str | None]]:
    moment = rfc3339(now)
    return [
        entry
        for entry in endpoint.secrets
        if entry["expires_at"] is None or entry["expires_at"] > moment
    ]


def _check_length(url: str) -> None:
    if len(url) > LONGEST_URL:
        raise wishes.refused("url", f"The URL has more than {LONGEST_URL:,} characters.")
