"""Shows what webhooks were sent, and sends it again: `webhook deliveries` and the like."""

from datetime import datetime

import click

from .. import clock
from ..core.webhooks import deliveries
from ..core.webhooks import endpoints as webhook_endpoints
from ..core.webhooks import json as webhook_json
from ..core.webhooks.delivery_statuses import STATUSES
from . import options, output, webhook_view
from .context import opened
from .times import TimeParameter
from .webhooks import ENDPOINT_ID, webhook


@output.command(webhook, "deliveries")
@ENDPOINT_ID
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
@ENDPOINT_ID
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
