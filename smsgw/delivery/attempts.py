"""Makes one attempt: signs the event's bytes, sends them, and reports the result to core."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from functools import cached_property, partial
from typing import TYPE_CHECKING

from .. import metrics
from ..addresses import Guard
from ..brokers import is_broker
from ..core.webhooks import retries
from ..core.webhooks.claiming import Claimed
from ..core.webhooks.retries import AttemptResult
from ..core.webhooks.signing import key_of, signature
from ..lazy_imports import lazy
from . import steps
from .amqp_connection import OutgoingEvent
from .queues import Job, Queues
from .rabbitmq import Publisher

if TYPE_CHECKING:
    from . import http_sender
else:
    http_sender = lazy("smsgw.delivery.http_sender")


class Unsent(Enum):
    """The result of an attempt in which nothing was sent: the delivery is due again."""

    GIVEN_BACK = "given back"


OnResult = Callable[[AttemptResult | Unsent | None], None]


class Carriers:
    """The connections to endpoints, by HTTP and RabbitMQ. One for each process; many threads may use it at once."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.rabbitmq = Publisher(guard)
        self.queues = Queues()

    @cached_property
    def http(self) -> "http_sender.Transport":
        """Make the connections when the first webhook is sent: with libcurl they take 7 MiB."""
        return http_sender.Transport(self._guard)

    def abort_requests(self) -> None:
        """Abort HTTP requests that still run."""
        if "http" in vars(self):
            self.http.close()

    def close(self) -> None:
        """Abort HTTP requests that still run, and close all idle connections."""
        self.abort_requests()
        self.rabbitmq.close()


def begin(
    claimed: Claimed, carriers: Carriers, timeout_seconds: float, now: datetime, on_result: OnResult
) -> OutgoingEvent:
    """Begin to send the event of a claimed delivery, and return what is sent: exactly the bytes that are stored.

    `on_result` is called once, with `None` after an internal error, from a thread that it must not block. Only this
    function knows how an endpoint is reached: by HTTP, or by RabbitMQ if its URL says so, one event after another.
    """
    outgoing = _outgoing(claimed, int(now.timestamp()))
    done = partial(_report, on_result)
    if is_broker(claimed.url):
        publish = partial(_publish, claimed, outgoing, carriers.rabbitmq, timeout_seconds, done)
        give_back = partial(on_result, Unsent.GIVEN_BACK)
        carriers.queues.add(Job(claimed.endpoint_id, claimed.claim, publish, give_back))
    else:
        headers = {"Content-Type": "application/json", **outgoing.headers}
        carriers.http.post(claimed.url, outgoing.body, headers, timeout_seconds, done)
    return outgoing


def _outgoing(claimed: Claimed, timestamp: int) -> OutgoingEvent:
    keys = [key_of(secret) for secret in claimed.secrets]
    headers = {
        "webhook-id": claimed.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(keys, claimed.event_id, timestamp, claimed.body),
    }
    return OutgoingEvent(claimed.event_id, claimed.event_type, claimed.body, timestamp, headers)


def _publish(
    claimed: Claimed,
    outgoing: OutgoingEvent,
    publisher: Publisher,
    seconds: float,
    done: Callable[[AttemptResult | None], None],
) -> bool:
    publish = partial(publisher.publish, claimed.url, outgoing, seconds)
    result = steps.attempt(f"deliver {claimed.delivery_id}", publish)
    done(result)
    # An error of this event alone does not hold up the next ones.
    return result is not None and (result.is_success or result.error in retries.OF_THE_EVENT)


def _report(on_result: OnResult, result: AttemptResult | None) -> None:
    if result is not None:
        metrics.count_attempt(_kind(result))
    on_result(result)


def _kind(result: AttemptResult) -> str:
    """Return the label for the metrics: `2xx` and so on for a status code, or the error's class."""
    return result.error or f"{(result.status_code or 0) // 100}xx"
