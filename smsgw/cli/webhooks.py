"""Manages the webhook endpoints of CRMs and their deliveries: `webhook …`."""

from collections.abc import Callable
from datetime import datetime

import click

from .. import clock, program
from ..core.accounts import crms, operator_json
from ..core.operations import webhook_tests
from ..core.webhooks import deliveries, diagnosis, urls
from ..core.webhooks import endpoints as webhook_endpoints
from ..core.webhooks import json as webhook_json
from ..core.webhooks import secrets as signing_secrets
from ..core.webhooks.delivery_statuses import STATUSES
from ..store.db import Session
from ..store.models import WebhookEndpoint
from . import options, output, webhook_test, webhook_view
from .context import opened
from .entry import group
from .times import TimeParameter

webhook = group("webhook")

_ID = click.argument("endpoint_id")
_EVENTS = click.option(
    "--event",
    "event_types",
    multiple=True,
    metavar="TYPE",
    help="Send only events of this type, such as message.failed; repeatable.",
)
_DEVICES = click.option(
    "--device",
    "device_ids",
    multiple=True,
    metavar="ID",
    help="Send only events of this phone; repeatable.",
)


@output.command(webhook, "add")
@click.argument("url")
@click.option(
    "--crm", "crm_name", required=True, metavar="NAME", help="The CRM whose events to send."
)
@_EVENTS
@_DEVICES
def add(url: str, crm_name: str, event_types: tuple[str, ...], device_ids: tuple[str, ...]) -> None:
    """Add a webhook and print its signing secret.

    For example: --crm clinic --event message.received https://crm.example.org/sms
    """
    with opened() as context:
        checked = urls.checked(url, context.settings.webhook_allowed_networks)
        with context.database.transaction() as session:
            endpoint, secret = webhook_endpoints.add(
                session,
                crms.get(session, crm_name),
                checked,
                event_types=event_types or None,
                device_ids=device_ids or None,
                enabled=True,
                most=context.settings.webhooks_per_crm,
                now=clock.now(),
            )
            answer = {**webhook_endpoints.shape(session, endpoint), "secret": secret}
    output.once(answer, f"To try it: {program.line(f'webhook test {endpoint.id}')}")


@output.command(webhook, "list")
@options.CRM_FILTER
def show_all(crm_name: str | None) -> None:
    """List the webhooks, and why those fail that fail."""
    with opened() as context, context.database.reading() as session:
        if crm_name is None:
            endpoints = webhook_endpoints.everyone(session)
        else:
            endpoints = webhook_endpoints.of_crm(session, crms.get(session, crm_name).id)
        names = operator_json.crm_names(session, {endpoint.crm_id for endpoint in endpoints})
        found = [
            {
                **shape,
                "crm": names.get(endpoint.crm_id),
                "last_failure": _last_failure(session, endpoint),
            }
            for endpoint, shape in zip(
                endpoints, webhook_endpoints.shapes(session, endpoints), strict=True
            )
        ]
    webhook_view.show_endpoints(found)


@output.command(webhook, "enable")
@_ID
def enable(endpoint_id: str) -> None:
    """Enable a webhook and send the deliveries that were waiting."""
    _change(endpoint_id, webhook_endpoints.enable)


@output.command(webhook, "disable")
@_ID
def disable(endpoint_id: str) -> None:
    """Disable a webhook. Deliveries that are waiting are kept."""
    _change(
        endpoint_id,
        lambda session, endpoint: webhook_endpoints.disable(session, endpoint, clock.now()),
    )


@output.command(webhook, "remove")
@_ID
def remove(endpoint_id: str) -> None:
    """Remove a webhook. Deliveries that are waiting are discarded."""
    with opened() as context, context.database.transaction() as session:
        webhook_endpoints.remove(
            session, webhook_endpoints.get_any(session, endpoint_id), clock.now()
        )
    output.say(f"{endpoint_id} was removed.", {"id": endpoint_id, "removed": True})


@output.command(webhook, "test")
@_ID
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 300),
    metavar="SECONDS",
    help="The most seconds to wait for the response; 5 more than one may take by default.",
)
def test(endpoint_id: str, wait_seconds: float | None) -> None:
    """Send a test event and show the response.

    The event is webhook.ping. The exit code is 1 if the event was not delivered.
    """
    with opened() as context:
        with context.database.transaction() as session:
            delivery_id = deliveries.ping(
                session, webhook_endpoints.get_any(session, endpoint_id), clock.now()
            )
        if wait_seconds is None:
            wait_seconds = context.settings.webhook_timeout_seconds + 5
        answer = webhook_tests.wait(context.database, delivery_id, wait_seconds)
    webhook_test.show(answer)


@output.command(webhook, "deliveries")
@_ID
@click.option("--status", type=click.Choice(STATUSES), help="Only deliveries with this status.")
@click.option(
    "--limit",
    type=options.Number(1, 1000),
    default=50,
    show_default=True,
    help="The most deliveries to list.",
)
@click.option("--cursor", help="The next_cursor of the previous page.")
def show_deliveries(endpoint_id: str, status: str | None, limit: int, cursor: str | None) -> None:
    """List what was sent to a webhook, and the responses.

    Newest first.
    """
    with opened() as context, context.database.reading() as session:
        endpoint = webhook_endpoints.get_any(session, endpoint_id)
        page, next_cursor = deliveries.page(session, endpoint, status, cursor, limit)
        last = deliveries.last_attempts(session, [delivery["id"] for delivery in page])
        found = [
            {**delivery, "result": webhook_view.result(last.get(delivery["id"]))}
            for delivery in page
        ]
    webhook_view.show_deliveries(found, next_cursor)


@output.command(webhook, "delivery")
@click.argument("delivery_id")
def show_delivery(delivery_id: str) -> None:
    """Show one delivery with all its attempts."""
    with opened() as context, context.database.reading() as session:
        answer = deliveries.shape(session, deliveries.get_any(session, delivery_id))
        endpoint = webhook_endpoints.get_any(session, answer["endpoint_id"])
        condition = webhook_json.condition(endpoint)
    webhook_view.show_delivery(answer, condition)


@output.command(webhook, "replay")
@click.argument("delivery_id")
def replay(delivery_id: str) -> None:
    """Deliver an event again, with the same webhook-id.

    At once, or when the pause of a webhook that fails is over.
    """
    with opened() as context, context.database.transaction() as session:
        delivery = deliveries.get_any(session, delivery_id)
        deliveries.replay(session, delivery, clock.now())
        answer = deliveries.shape(session, delivery)
    output.say(webhook_view.replayed(answer), answer)


@output.command(webhook, "recover")
@_ID
@click.option(
    "--since",
    type=TimeParameter(),
    required=True,
    help="Start of the period, such as 2026-01-31T12:00:00Z, or 24h for the last 24 hours.",
)
@click.option("--until", type=TimeParameter(), help="End of the period; now by default.")
def recover(endpoint_id: str, since: datetime, until: datetime | None) -> None:
    """Deliver the events that a webhook missed in a period."""
    with opened() as context, context.database.transaction() as session:
        now = clock.now()
        endpoint = webhook_endpoints.get_any(session, endpoint_id)
        answer = deliveries.recover(session, endpoint, since, until or now, now)
    output.say(webhook_view.recovered(endpoint_id, answer), answer)


@output.command(webhook, "rotate-secret")
@_ID
@click.option(
    "--grace-seconds",
    type=int,
    metavar="SECONDS",
    default=signing_secrets.GRACE_SECONDS,
    show_default=True,
    help="The seconds that the old secret signs too.",
)
def rotate_secret(endpoint_id: str, grace_seconds: int) -> None:
    """Create a new signing secret for a webhook. The old one signs too for a while, so that no event is refused."""
    with opened() as context, context.database.transaction() as session:
        endpoint = webhook_endpoints.get_any(session, endpoint_id)
        secret = signing_secrets.rotate(session, endpoint, grace_seconds, clock.now())
        answer = {**webhook_endpoints.shape(session, endpoint), "secret": secret}
    output.once(answer)


def _last_failure(session: Session, endpoint: WebhookEndpoint) -> str | None:
    failure = diagnosis.last_failure(session, endpoint) if endpoint.failing_since else None
    return None if failure is None else webhook_view.result(failure)


def _change(endpoint_id: str, change: Callable[[Session, WebhookEndpoint], None]) -> None:
    with opened() as context, context.database.transaction() as session:
        endpoint = webhook_endpoints.get_any(session, endpoint_id)
        change(session, endpoint)
        answer = webhook_endpoints.shape(session, endpoint)
    output.one(answer)
