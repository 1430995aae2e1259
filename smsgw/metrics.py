"""What is counted as it happens, right across processes when PROMETHEUS_MULTIPROC_DIR is set before the start."""

import os
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

REQUEST_SECONDS = Histogram(
    "smsgw_request_seconds",
    "How long requests took, by the name of the endpoint.",
    ["endpoint"],
)
REQUESTS = Counter(
    "smsgw_requests", "Requests answered, by endpoint and status code.", ["endpoint", "status"]
)
POLLS = Counter(
    "smsgw_polls",
    "Calls of phones' endpoints, by door and result: ok, refused, failed.",
    ["door", "result"],
)
ATTEMPTS = Counter("smsgw_webhook_attempts", "Webhook requests, by outcome.", ["outcome"])


def registry() -> CollectorRegistry:
    """What was counted by all processes of this server, or by this one where it runs alone."""
    if not is_multiprocess():
        return REGISTRY
    collected = CollectorRegistry()
    MultiProcessCollector(collected)  # type: ignore[no-untyped-call]
    return collected


def is_multiprocess() -> bool:
    """Whether several processes count together; the variable is the Prometheus client's own."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def forget_process(pid: int) -> None:
    """Says that a process of this server has ended."""
    if is_multiprocess():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


@cache
def _request_counts(endpoint: str, status_code: int) -> tuple[Histogram, Counter]:
    return REQUEST_SECONDS.labels(endpoint), REQUESTS.labels(endpoint, status_code)


def count_request(endpoint: str, status_code: int, seconds: float) -> None:
    """Counts a request by the name of its endpoint, what it was answered, and how long that took."""
    duration, count = _request_counts(endpoint, status_code)
    duration.observe(seconds)
    count.inc()


@cache
def _poll_count(door: str, status_class: int) -> Counter:
    return POLLS.labels(door, {4: "refused", 5: "failed"}.get(status_class, "ok"))


def count_poll(door: str, status_code: int) -> None:
    """Counts a call of a phone's endpoint by what it was answered."""
    _poll_count(door, status_code // 100).inc()
