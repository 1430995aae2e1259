"""Waits for what a receiver responds to a test event, and shows it."""

import time
from collections.abc import Mapping
from typing import Any

import click

from .. import clock, program
from ..core.operations import metrics
from ..core.operations.health import WORKER_IS_GONE_AFTER_SECONDS
from ..core.webhooks import deliveries
from ..core.webhooks.delivery_statuses import DELIVERED
from ..store.db import Database
from . import cells, output

_STEP_SECONDS = 0.2
_MOST_LINES = 20


def wait(database: Database, delivery_id: str, seconds: float) -> dict[str, Any]:
    """Return the delivery, once it was attempted or after so many seconds; at once where no worker runs."""
    ends_at = time.monotonic() + seconds
    while True:
        with database.reading() as session:
            answer = deliveries.shape(session, deliveries.get_any(session, delivery_id))
            silent_seconds = metrics.worker_silent_seconds(session, clock.now())
        is_alone = silent_seconds is None or silent_seconds > WORKER_IS_GONE_AFTER_SECONDS
        if answer["attempts"] or is_alone or time.monotonic() >= ends_at:
            return answer
        time.sleep(_STEP_SECONDS)


def show(delivery: Mapping[str, Any]) -> None:
    """Print the response, or that there is none yet; end with exit code 1 unless it took the event."""
    if output.wants_json():
        output.print_json(delivery)
    elif delivery["attempts"]:
        _show_attempt(delivery["attempts"][-1])
    else:
        doctor, command = program.line("doctor"), program.line(f"webhook delivery {delivery['id']}")
        output.paragraph(
            f"No worker has sent it yet: see whether the server runs ({doctor}), and later {command}"
        )
    if delivery["status"] != DELIVERED:
        click.get_current_context().exit(1)


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
