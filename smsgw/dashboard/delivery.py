"""Serves `/admin/deliveries/<id>`: exactly what was sent to a webhook, and what its receiver answered."""

from datetime import datetime
from typing import Any

from flask import Response, flash, redirect, request, url_for

from .. import __version__, clock, logs
from ..brokers import is_broker
from ..core.accounts.roles import CLERK, OPERATOR, VIEWER
from ..core.webhooks import deliveries as core_deliveries
from ..core.webhooks import delivery_statuses, diagnosis, endpoints, hints, signing
from ..core.webhooks import secrets as signing_secrets
from ..http import masking
from ..http.context import services
from ..store.db import Session
from ..store.models import Delivery, WebhookEndpoint
from . import rendering, visitors, webhook_access, webhook_states
from .blueprint import blueprint
from .guards import allows

_MOST_OF_AN_ANSWER = 1000
_STATES = {delivery_statuses.DELIVERED: "ok", delivery_statuses.DISCARDED: "wrong"}


@blueprint.get("/deliveries/<delivery_id>")
@allows(VIEWER)
def delivery(delivery_id: str) -> Any:
    """Show one delivery."""
    with services().database.reading() as session:
        found, endpoint = webhook_access.delivery(session, delivery_id)
        values, body = _shown(session, found, endpoint), diagnosis.body_of(session, found)
        headers = _headers(endpoint, values["delivery"], body)
    status = values["delivery"]["status"]
    return rendering.render(
        "delivery.html",
        title="Delivery",
        state=_STATES.get(status),
        headers=headers,
        body=masking.masked_json(body) if _is_masked() else body,
        is_masked=_is_masked(),
        **values,
    )


@blueprint.get("/deliveries/<delivery_id>/news")
@allows(VIEWER)
def delivery_news(delivery_id: str) -> Response:
    """Show the attempts again, if there is a new one."""
    with services().database.reading() as session:
        found, endpoint = webhook_access.delivery(session, delivery_id)
        if _position(found) == request.args.get("seen"):
            return rendering.nothing_new()
        return rendering.fragment("_delivery.html", **_shown(session, found, endpoint))


@blueprint.post("/deliveries/<delivery_id>/replay")
@allows(OPERATOR)
def replay_delivery(delivery_id: str) -> Any:
    """Send the event again at once."""
    with services().database.transaction() as session:
        found = core_deliveries.get_any(session, delivery_id)
        core_deliveries.replay(session, found, clock.now())
    flash("The event is sent again. This page shows the answer.")
    return redirect(url_for("dashboard.delivery", delivery_id=delivery_id), 303)


def _shown(session: Session, found: Delivery, endpoint: WebhookEndpoint) -> dict[str, Any]:
    shape = core_deliveries.shape(session, found)
    last = shape["attempts"][-1] if shape["attempts"] else None
    webhook = endpoints.shape(session, endpoint)
    return {
        "delivery": shape,
        "answers": {attempt["id"]: _beginning(attempt) for attempt in shape["attempts"]},
        "webhook": webhook,
        "is_paused": webhook_states.of(webhook, clock.now()).word == webhook_states.PAUSED,
        "crm": webhook_access.crm_name(session, endpoint),
        "position": _position(found),
        "is_final": found.status != delivery_statuses.PENDING,
        "hint": hints.hint(last),
        "most_of_an_answer": _MOST_OF_AN_ANSWER,
    }


def _headers(endpoint: WebhookEndpoint, shape: dict[str, Any], body: str) -> list[tuple[str, str]]:
    """Return the headers of the last attempt, or of one now; who sees no whole numbers gets no signature either."""
    at = _sent_at(shape["attempts"])
    timestamp = int(at.timestamp())
    keys = [signing.key_of(secret) for secret in signing_secrets.live(endpoint, at)]
    signature = signing.signature(keys, shape["event_id"], timestamp, body.encode())
    headers = [
        ("webhook-id", shape["event_id"]),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", "v1,…" if _is_masked() else signature),
    ]
    if is_broker(endpoint.url):
        return headers
    return [
        ("Content-Type", "application/json"),
        ("User-Agent", f"smsgw/{__version__}"),
        *headers,
    ]


def _sent_at(attempts: list[dict[str, Any]]) -> datetime:
    return datetime.fromisoformat(attempts[-1]["started_at"]) if attempts else clock.now()


def _beginning(attempt: dict[str, Any]) -> str:
    """Return the first characters of the answer; numbers are hidden before they can be cut in two."""
    text = attempt["response_text"] or ""
    return (logs.redact(text) if _is_masked() else text)[:_MOST_OF_AN_ANSWER]


def _is_masked() -> bool:
    return not visitors.is_allowed(CLERK)


def _position(found: Delivery) -> str:
    due = clock.rfc3339_or_none(found.next_attempt_at)
    return f"{found.status} {found.attempt_count} {due}"
