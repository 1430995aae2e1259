"""One attempt: sign the event's bytes, send them, and say what came of it in the core's words."""

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

from .. import metrics
from ..addresses import Guard
from ..brokers import is_broker
from ..core.retries import Result
from . import steps
from .claim import Claimed
from .lines import Letter
from .outcome import Outcome
from .rabbitmq import Publisher
from .signing import key_of, signature
from .transport import Transport

Tell = Callable[[Result | None], None]


class Carriers:
    """The ways to an endpoint; one for a process, to be used by many threads at once."""

    def __init__(self, guard: Guard) -> None:
        self.http = Transport(guard)
        self.rabbitmq = Publisher(guard)

    def close(self) -> None:
        """Break off HTTP requests that still run, and close all idle connections."""
        self.http.close()
        self.rabbitmq.close()


def begin(
    claimed: Claimed, carriers: Carriers, timeout_seconds: float, now: datetime, tell: Tell
) -> Letter:
    """Begins to send the claimed delivery's event, and returns what is sent: the exact bytes that are stored.

    What came of it is told once, by another thread, which must not be held up: `None` after a fault of ours. The one
    place that knows how an endpoint is reached: by HTTP, or by RabbitMQ where its URL says so.
    """
    letter = _letter(claimed, int(now.timestamp()))
    done = partial(_tell, now, tell)
    if is_broker(claimed.url):
        # pika waits, so it does that in a thread of its own.
        work = (claimed, letter, carriers.rabbitmq, timeout_seconds, done)
        threading.Thread(target=_publish, args=work, daemon=True).start()
    else:
        headers = {"Content-Type": "application/json", **letter.headers}
        carriers.http.post(claimed.url, letter.body, headers, timeout_seconds, done)
    return letter


def _letter(claimed: Claimed, timestamp: int) -> Letter:
    keys = [key_of(secret) for secret in claimed.secrets]
    headers = {
        "webhook-id": claimed.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(keys, claimed.event_id, timestamp, claimed.body),
    }
    return Letter(claimed.event_id, claimed.event_type, claimed.body, timestamp, headers)


def _publish(
    claimed: Claimed,
    letter: Letter,
    publisher: Publisher,
    seconds: float,
    done: Callable[[Outcome | None], None],
) -> None:
    publish = partial(publisher.publish, claimed.url, letter, seconds)
    done(steps.attempt(f"deliver {claimed.delivery_id}", publish))


def _tell(started_at: datetime, tell: Tell, outcome: Outcome | None) -> None:
    if outcome is None:
        tell(None)
        return
    metrics.ATTEMPTS.labels(_kind(outcome)).inc()
    tell(
        Result(
            started_at=started_at,
            duration_seconds=outcome.duration_seconds,
            status_code=outcome.status_code,
            error=outcome.error,
            detail=outcome.detail,
            response_text=outcome.response_text,
            retry_after_seconds=outcome.retry_after_seconds,
        )
    )


def _kind(outcome: Outcome) -> str:
    """For counting: `2xx` and so on by status code, or the error's class."""
    return outcome.error or f"{(outcome.status_code or 0) // 100}xx"
