"""Shows what a receiver responds to a test event."""

from collections.abc import Mapping
from typing import Any

import click

from .. import program
from ..core.webhooks import hints
from ..core.webhooks.delivery_statuses import DELIVERED
from . import cells, output

_MOST_LINES = 20


def show(delivery: Mapping[str, Any]) -> None:
    """Print the response, or that there is none yet; end with exit code 1 unless it took the event."""
    if output.wants_json():
        output.print_json(delivery)
    elif delivery["attempts"]:
        _show_attempt(delivery["attempts"][-1])
        _show_hint(delivery)
    else:
        doctor, command = program.line("doctor"), program.line(f"webhook delivery {delivery['id']}")
        output.paragraph(
            f"No worker has sent it yet: see whether the server runs ({doctor}), and later {command}"
        )
    if delivery["status"] != DELIVERED:
        click.get_current_context().exit(1)


def _show_hint(delivery: Mapping[str, Any]) -> None:
    hint = hints.hint(delivery["attempts"][-1])
    if hint is not None:
        test = program.line(f"webhook test {delivery['endpoint_id']}")
        output.advice(f"{hint} A test is not sent again by itself; afterwards: {test}", err=True)


def _show_attempt(attempt: Mapping[str, Any]) -> None:
    took = f"after {attempt['duration_seconds']} seconds"
    if attempt["status_code"] is None:
        output.paragraph(
            f"No response {took}: {attempt['error']}: {cells.whole(attempt['detail'])}"
        )
        return
    click.echo(f"HTTP {attempt['status_code']} {took}")
    for line in (attempt["response_text"] or "").splitlines()[:_MOST_LINES]:
        click.echo(output.shortened(f"  {cells.whole(line)}"))
