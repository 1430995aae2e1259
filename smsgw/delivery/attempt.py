"""One attempt: sign the event's bytes, send them, and say what came of it in the core's words."""

from collections.abc import Callable
from datetime import datetime

from ..addresses import Guard
from ..brokers import is_broker
from ..core.retries import Result
from .claim import Claimed
from .lines import Letter
from .rabbitmq import Publisher
from .signing import key_of, signature
from .transport import Outcome, Transport


class Carriers:
    """The ways to an endpoint; one for a process, to be used by many threads at once."""

    def __init__(self, guard: Guard) -> None:
        self.http = Transport(guard)
        self.rabbitmq = Publisher(guard)

    def close(self) -> None:
        """Close the idle connections."""
        self.http.close()
        self.rabbitmq.close()


def send(
    claimed: Claimed,
    carriers: Carriers,
    timeout_seconds: float,
    clock: Callable[[], datetime],
) -> Result:
    """Sends the claimed delivery's event. The body is the exact bytes that are stored.

    The one place that knows how an endpoint is reached: by HTTP, or by RabbitMQ where its URL says so.
    """
    started_at = clock()
    carry = _publish if is_broker(claimed.url) else _post
    outcome = carry(claimed, carriers, int(started_at.timestamp()), timeout_seconds)
    return Result(
        started_at=started_at,
        duration_seconds=outcome.duration_seconds,
        status_code=outcome.status_code,
        error=outcome.error,
        detail=outcome.detail,
        response_text=outcome.response_text,
        retry_after_seconds=outcome.retry_after_seconds,
    )


def _post(claimed: Claimed, carriers: Carriers, timestamp: int, seconds: float) -> Outcome:
    headers = {"Content-Type": "application/json", **_signed(claimed, timestamp)}
    return carriers.http.post(claimed.url, claimed.body, headers, seconds)


def _publish(claimed: Claimed, carriers: Carriers, timestamp: int, seconds: float) -> Outcome:
    letter = Letter(
        claimed.event_id,
        claimed.event_type,
        claimed.body,
        timestamp,
        _signed(claimed, timestamp),
    )
    return carriers.rabbitmq.publish(claimed.url, letter, seconds)


def _signed(claimed: Claimed, timestamp: int) -> dict[str, str]:
    keys = [key_of(secret) for secret in claimed.secrets]
    return {
        "webhook-id": claimed.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(keys, claimed.event_id, timestamp, claimed.body),
    }
