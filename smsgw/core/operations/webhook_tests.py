"""Waits for what a receiver responds to a test event."""

import time
from typing import Any

from ... import clock
from ...store.db import Database
from ..webhooks import deliveries
from . import metrics
from .health import WORKER_IS_GONE_AFTER_SECONDS

_STEP_SECONDS = 0.2


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
