"""Lists webhooks and deliveries: as tables, and below 100 columns in lines for each."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .. import program
from ..core.webhooks import hints
from . import cells, output

_COLUMNS = (
    *("id", "crm", "url", "enabled", "disabled_reason"),
    *("failing_since", "last_failure", "pending_count"),
)
_LEAST = ("disabled_reason", "crm", "failing_since")
_DELIVERY_COLUMNS = (
    *("id", "event_type", "status", "attempt_count"),
    *("result", "next_attempt_at", "created_at"),
)
_LEAST_OF_DELIVERIES = ("created_at", "status", "attempt_count")
_ATTEMPTS = ("at", "result", "duration_seconds", "detail", "response_text", "manual", "id")
_LEAST_OF_ATTEMPTS = ("id", "manual", "duration_seconds")


def show_endpoints(found: Sequence[Mapping[str, Any]]) -> None:
    """Print webhooks, each with its `crm` and its `last_failure`."""
    add = program.line("webhook add --crm NAME URL")
    output.rows(
        found,
        _COLUMNS,
        f"There are no webhooks yet. Add one with: {add}",
        answer={"data": found},
        least=_LEAST,
        block=_endpoint,
    )


def show_deliveries(found: Sequence[Mapping[str, Any]], next_cursor: str | None) -> None:
    """Print a page of deliveries, each with the `result` of its last attempt."""
    output.rows(
        found,
        _DELIVERY_COLUMNS,
        "There are no deliveries yet.",
        answer={"data": found, "next_cursor": next_cursor},
        least=_LEAST_OF_DELIVERIES,
        block=_delivery,
    )
    if next_cursor and not output.wants_json():
        click.echo(f"For the next page, add: --cursor {next_cursor}", err=True)


def show_delivery(shape: Mapping[str, Any], condition: Mapping[str, bool]) -> None:
    """Print a delivery as `deliveries.shape` returns it, its attempts, and what to do if its endpoint is so."""
    if output.wants_json():
        output.print_json(shape)
        return
    attempts = shape["attempts"]
    output.one({name: value for name, value in shape.items() if name != "attempts"})
    last = attempts[-1] if attempts else None
    step = hints.next_step({**shape, **condition, "last_attempt": last})
    if step is not None:
        output.advice(step)
    if attempts:
        rows = [{**each, "at": each["started_at"], "result": result(each)} for each in attempts]
        click.echo("\nAttempts")
        output.table(rows, _ATTEMPTS, _LEAST_OF_ATTEMPTS)


def replayed(shape: Mapping[str, Any]) -> str:
    """Return in words when a delivery that is sent again is sent."""
    when = cells.ago(shape["next_attempt_at"])
    when = f"{when}, when the pause of its webhook ends" if when.startswith("in ") else "now"
    shown = program.line(f"webhook delivery {shape['id']}")
    return f"{shape['id']} is sent {when}. The response: {shown}"


def recovered(endpoint_id: str, counts: Mapping[str, Any]) -> str:
    """Return in words what `deliveries.recover` did."""
    count = counts["created_count"] + counts["requeued_count"]
    if not count:
        return "Nothing was missed in that time. What waits for its next attempt is sent by itself."
    listing = program.line(f"webhook deliveries {endpoint_id}")
    more = " There are more: repeat the command." if counts["has_more"] else ""
    return f"{count:,} sent again, oldest first.{more} What is answered: {listing}"


def result(attempt: Mapping[str, Any] | None) -> str:
    """Return in a word what an attempt to deliver an event met; `None` means that there was none yet."""
    if attempt is None:
        return "not sent yet"
    return attempt["error"] or f"HTTP {attempt['status_code']}"


def _endpoint(shape: Mapping[str, Any]) -> list[str]:
    texts = [cells.whole(shape["url"]), _state(shape)]
    return [f"{shape['id']}  {shape['crm']}", *(output.shortened(f"  {text}") for text in texts)]


def _state(shape: Mapping[str, Any]) -> str:
    waiting = f", {shape['pending_count']:,} waiting" if shape["pending_count"] else ""
    if not shape["enabled"]:
        return f"disabled{waiting}: {cells.whole(shape['disabled_reason'])}"
    if shape["failing_since"]:
        since = cells.ago(shape["failing_since"])
        return f"failing since {since}{waiting}: {shape['last_failure'] or '-'}"
    return f"{'works' if shape['last_success_at'] else 'nothing was delivered yet'}{waiting}"


def _delivery(shape: Mapping[str, Any]) -> list[str]:
    count = "1 attempt" if shape["attempt_count"] == 1 else f"{shape['attempt_count']} attempts"
    later = f", next {cells.ago(shape['next_attempt_at'])}" if shape["next_attempt_at"] else ""
    texts = [
        f"{shape['event_type']}, {cells.ago(shape['created_at'])}",
        f"{shape['status']}, {count}{later}: {shape['result']}",
    ]
    return [shape["id"], *(output.shortened(f"  {text}") for text in texts)]
