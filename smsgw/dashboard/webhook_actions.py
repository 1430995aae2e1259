"""Acts on a webhook: tests, changes, switches and removes it, recovers what it missed, and gives it a new secret."""

from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts.roles import OPERATOR
from ..core.operations import webhook_tests
from ..core.webhooks import deliveries, endpoints, urls
from ..core.webhooks import secrets as signing_secrets
from ..errors import Invalid
from ..http.context import services
from . import forms, webhook
from .blueprint import blueprint
from .guards import allows

_LONGEST_HOURS = 24 * 365
_GRACE_HOURS = ("24", "0")
_MOST_SECONDS = 5.0
# Each request that waits holds one of the process's threads.
_WAITING = BoundedSemaphore(2)


@blueprint.post("/webhooks/<webhook_id>/test")
@allows(OPERATOR)
def test_webhook(webhook_id: str) -> Any:
    """Send a test event, wait some seconds for the answer, and show it."""
    with services().database.transaction() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        delivery_id = deliveries.ping(session, endpoint, clock.now())
    if _WAITING.acquire(blocking=False):
        try:
            webhook_tests.wait(services().database, delivery_id, _MOST_SECONDS)
        finally:
            _WAITING.release()
    flash("A test event was made. This page shows what the receiver answers.")
    return redirect(url_for("dashboard.delivery", delivery_id=delivery_id), 303)


@blueprint.post("/webhooks/<webhook_id>/enable")
@allows(OPERATOR)
def enable_webhook(webhook_id: str) -> Any:
    """Switch the endpoint on."""
    with services().database.transaction() as session:
        endpoints.enable(session, endpoints.get_any(session, webhook_id))
    flash("The webhook is enabled. What waited goes out; recover what happened meanwhile below.")
    return _back(webhook_id)


@blueprint.post("/webhooks/<webhook_id>/disable")
@allows(OPERATOR)
def disable_webhook(webhook_id: str) -> Any:
    """Switch the endpoint off; what waits for it is kept."""
    with services().database.transaction() as session:
        endpoints.disable(session, endpoints.get_any(session, webhook_id), clock.now())
    flash("The webhook is disabled; what waits for it is kept.")
    return _back(webhook_id)


@blueprint.post("/webhooks/<webhook_id>/change")
@allows(OPERATOR, confirmed=True)
def change_webhook(webhook_id: str) -> Any:
    """Send the endpoint's events to another URL, or other events."""
    wanted, events = forms.text("url"), list(forms.texts("events"))
    changes = endpoints.Changes(events=events or None)
    with services().database.reading() as session:
        shown = endpoints.shape(session, endpoints.get_any(session, webhook_id))["url"]
    # The form shows URLs without their passwords, so an unchanged URL must not replace the stored one.
    if wanted != shown:
        # Asks the DNS, so no transaction is open.
        changes["url"] = urls.checked(wanted, services().settings.webhook_allowed_networks)
    with services().database.transaction() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        endpoints.update(session, endpoint, changes, clock.now())
    flash("The webhook is changed.")
    return _back(webhook_id)


@blueprint.post("/webhooks/<webhook_id>/recover")
@allows(OPERATOR)
def recover_webhook(webhook_id: str) -> Any:
    """Send again the events that did not reach the endpoint in the last hours."""
    hours = forms.whole("hours", 1, _LONGEST_HOURS)
    now = clock.now()
    with services().database.transaction() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        since = now - timedelta(hours=hours)
        found = deliveries.recover(session, endpoint, since, now, now)
    flash(_recovered(found), "warning" if found["has_more"] else "ok")
    return _back(webhook_id)


@blueprint.post("/webhooks/<webhook_id>/rotate")
@allows(OPERATOR, confirmed=True)
def rotate_webhook(webhook_id: str) -> Any:
    """Give the endpoint a new secret and show it once."""
    hours = forms.text("grace_hours")
    if hours not in _GRACE_HOURS:
        raise Invalid.sentence("grace_hours", "Choose what happens to the old secret.")
    with services().database.transaction() as session:
        endpoint = endpoints.get_any(session, webhook_id)
        secret = signing_secrets.rotate(session, endpoint, int(hours) * 3600, clock.now())
    return webhook.shown(webhook_id, secret)


@blueprint.post("/webhooks/<webhook_id>/remove")
@allows(OPERATOR, confirmed=True)
def remove_webhook(webhook_id: str) -> Any:
    """Remove the endpoint; what waits for it is discarded."""
    with services().database.transaction() as session:
        endpoints.remove(session, endpoints.get_any(session, webhook_id), clock.now())
    flash("The webhook was removed.")
    return redirect(url_for("dashboard.webhooks"), 303)


def _recovered(found: dict[str, Any]) -> str:
    count = found["created_count"] + found["requeued_count"]
    if found["has_more"]:
        return f"{count:,} events are sent again. There are more: recover again once these have arrived."
    if not count:
        return "Nothing was missed in that time."
    return f"{count:,} {'event is' if count == 1 else 'events are'} sent again."


def _back(webhook_id: str) -> Any:
    return redirect(url_for("dashboard.webhook", webhook_id=webhook_id), 303)
