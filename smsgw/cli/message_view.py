"""Shows a message to people: where it waits, in words, and what happened to it, in tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .. import program
from ..core.devices.advice import Advice
from ..core.webhooks import hints
from ..sms import statuses
from . import cells, output, webhook_view

_HOPS = {
    "held": "its release",
    "paused": "what was queued with it to be resumed",
    "schedule": "its time",
    "device": "a phone",
    "limit": "the limits of its phone",
    "confirmation": "the confirmation of its phone",
    "phone": "its phone",
    "radio": "the radio of its phone",
    "network": "the mobile network",
    "delivery_report": "a delivery report",
}
_FIELDS = (
    *("id", "direction", "from", "to", "device_id", "content", "encoding", "segments"),
    *("reference", "metadata", "priority", "send_at", "expires_at", "device_received_at"),
)
_DISPATCHES = (
    "id",
    "device_id",
    "status",
    "reason",
    "handed_out_at",
    "hand_out_count",
    "acknowledged_at",
)
_ATTEMPTS = (
    *("at", "event_type", "result", "attempt_count", "status", "url", "next_attempt_at", "id"),
)
_LEAST_OF_ATTEMPTS = ("id", "attempt_count", "status", "next_attempt_at")
_MOST_WEBHOOKS = 3
_LEAST = ("acknowledged_at", "hand_out_count", "reason")


def show(
    message: Mapping[str, Any], advice: Advice | None, deliveries: Sequence[Mapping[str, Any]]
) -> None:
    """Print a message and what to do about it as `reading.explained` returns them, and its webhook deliveries."""
    output.paragraph(_state(message))
    if advice is not None:
        output.advice(advice.text)
    click.echo()
    output.one({name: message[name] for name in _FIELDS if message.get(name) is not None})
    timeline = [
        {**entry, "time (UTC)": cells.time_of_day(entry["at"])} for entry in message["history"]
    ]
    _table("Timeline", timeline, ("time (UTC)", "status", "device_id", "reason"))
    _table("Dispatches", message["dispatches"], _DISPATCHES, _LEAST)
    attempts = [{**delivery, **_last_attempt(delivery)} for delivery in deliveries]
    _table("Webhook attempts", attempts, _ATTEMPTS, _LEAST_OF_ATTEMPTS)
    _show_webhooks(deliveries)


def block(message: Mapping[str, Any]) -> list[str]:
    """Return a message in three lines, for a list on a narrow terminal."""
    if message["direction"] == "inbound":
        parties = f"from {message['from'] or '-'}, by {message['device_id']}"
    else:
        parties = f"to {message['to']}, by {message['device_id'] or 'any phone'}"
    head = f"{message['id']}  {message['status']}, {cells.ago(message['created_at'])}"
    texts = [parties, message["content"] or "(removed)"]
    return [head, *(output.shortened(f"  {cells.whole(text)}") for text in texts)]


def _state(message: Mapping[str, Any]) -> str:
    waiting = message["waiting_for"]
    if waiting is not None:
        since = "" if waiting["since"] is None else f", since {_time(waiting['since'])}"
        return f"Waits for {_HOPS[waiting['hop']]}{since}. {waiting['text']}"
    if message["direction"] == "inbound":
        return f"Received at {_time(message['created_at'])}."
    at = message["history"][-1]["at"] if message["history"] else message["updated_at"]
    reason = f" {cells.whole(message['reason'])}." if message["reason"] else ""
    more = "" if message["status"] in statuses.UNFINISHED else " Nothing more is to come."
    return f"{message['status'].capitalize()} at {_time(at)}.{reason}{more}"


def _time(text: str) -> str:
    return f"{cells.time_of_day(text)} UTC ({cells.ago(text)})"


def _show_webhooks(deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Print what to do about the newest event of each webhook that has not got it."""
    newest = {delivery["endpoint_id"]: delivery for delivery in deliveries}
    steps = {delivery["url"]: hints.next_step(delivery) for delivery in newest.values()}
    missing = [(url, step) for url, step in steps.items() if step is not None]
    for url, step in missing[:_MOST_WEBHOOKS]:
        output.advice(f"{url}: {step}")
    if len(missing) > _MOST_WEBHOOKS:
        listing = program.line("webhook list")
        output.advice(f"{len(missing) - _MOST_WEBHOOKS} more have not got it: {listing}")


def _last_attempt(delivery: Mapping[str, Any]) -> dict[str, Any]:
    last = delivery["last_attempt"]
    return {"at": None if last is None else last["started_at"], "result": webhook_view.result(last)}


def _table(
    title: str,
    found: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    least: Sequence[str] = (),
) -> None:
    if found:
        click.echo(f"\n{title}")
        output.table(found, columns, least)
