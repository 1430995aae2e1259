"""Manages the webhook endpoints of CRMs: `webhook …`; the commands about deliveries are in `deliveries`."""

from collections.abc import Callable

import click

from .. import clock, program
from ..core.accounts import crms, operator_json
from ..core.operations import webhook_tests
from ..core.webhooks import deliveries, diagnosis, urls
from ..core.webhooks import endpoints as webhook_endpoints
from ..core.webhooks import secrets as signing_secrets
from ..store.db import Session
from ..store.models import WebhookEndpoint
from . import options, output, webhook_test, webhook_view
from .context import opened
from .entry import group

webhook = group("webhook")

ENDPOINT_ID = click.argument("endpoint_id")
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


@output.command(webhook, "change")
@ENDPOINT_ID
@click.option(
    "--url",
    metavar="URL",
    help="Where to send the events from now on, also those that are waiting.",
)
@_EVENTS
@click.option("--all-events", is_flag=True, help="Send events of all types, future ones too.")
@_DEVICES
@click.option("--all-devices", is_flag=True, help="Send events of all phones, future ones too.")
def change(
    endpoint_id: str,
    url: str | None,
    event_types: tuple[str, ...],
    all_events: bool,
    device_ids: tuple[str, ...],
    all_devices: bool,
) -> None:
    """Change the URL of a webhook, or which events it gets. The secret stays.

    The events and phones that are given take the place of those before.

    For example: whe_… --event message.received --event message.failed
    """
    if (all_events and event_types) or (all_devices and device_ids):
        raise click.UsageError(
            "give either --event or --all-events, and either --device or --all-devices"
        )
    changes = webhook_endpoints.Changes()
    if event_types or all_events:
        changes["events"] = list(event_types) or None
    if device_ids or all_devices:
        changes["device_ids"] = list(device_ids) or None
    if not (changes or url):
        raise click.UsageError("give --url, --event, --all-events, --device or --all-devices")
    with opened() as context:
        if url:
            changes["url"] = urls.checked(url, context.settings.webhook_allowed_networks)
        with context.database.transaction() as session:
            endpoint = webhook_endpoints.get_any(session, endpoint_id)
            webhook_endpoints.update(session, endpoint, changes, clock.now())
            answer = webhook_endpoints.shape(session, endpoint)
    output.one(answer)


@output.command(webhook, "enable")
@ENDPOINT_ID
def enable(endpoint_id: str) -> None:
    """Enable a webhook and send the deliveries that were waiting."""
    _change(endpoint_id, webhook_endpoints.enable)


@output.command(webhook, "disable")
@ENDPOINT_ID
def disable(endpoint_id: str) -> None:
    """Disable a webhook. Deliveries that are waiting are kept."""
    _change(
        endpoint_id,
        lambda session, endpoint: webhook_endpoints.disable(session, endpoint, clock.now()),
    )


@output.command(webhook, "remove")
@ENDPOINT_ID
def remove(endpoint_id: str) -> None:
    """Remove a webhook. Deliveries that are waiting are discarded."""
    with opened() as context, context.database.transaction() as session:
        webhook_endpoints.remove(
            session, webhook_endpoints.get_any(session, endpoint_id), clock.now()
        )
    output.say(f"{endpoint_id} was removed.", {"id": endpoint_id, "removed": True})


@output.command(webhook, "test")
@ENDPOINT_ID
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


@output.command(webhook, "rotate-secret")
@ENDPOINT_ID
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
