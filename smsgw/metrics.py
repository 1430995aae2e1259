"""Counts what happens, across processes when PROMETHEUS_MULTIPROC_DIR is set before the start."""

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

REQUEST_SECONDS = Histogram(
    "smsgw_request_seconds",
    "How long requests took, by the name of the endpoint.",
    ["endpoint"],
)
REQUESTS = Counter(
    "smsgw_requests", "Requests answered, by endpoint and status code.", ["endpoint", "status"]
)
IDLE_POLLS = Counter(
    "smsgw_idle_polls",
    "Phones' polls that brought nothing and got nothing, by door; logged at DEBUG only.",
    ["door"],
)

# The blueprints that phones poll, and the words for the first digit of a status code.
_DOORS = ("cht",)
_RESULTS = {"4": "refused", "5": "failed"}

_attempts: defaultdict[str, int] = defaultdict(int)
_attempts_lock = threading.Lock()


def registry() -> CollectorRegistry:
    """Return what was counted by all processes of this server, or by this one where it runs alone."""
    if not is_multiprocess():
        return REGISTRY
    collected = CollectorRegistry()
    MultiProcessCollector(collected)  # type: ignore[no-untyped-call]
    return collected


def is_multiprocess() -> bool:
    """Return whether several processes count together; the variable is the Prometheus client's own."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def prepare() -> None:
    """Make the folder where processes count together, if one is named: the Prometheus client makes none."""
    if is_multiprocess():
        os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)


def forget_process(pid: int) -> None:
    """Note that a process of this server has ended."""
    if is_multiprocess():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def count_request(endpoint: str, status_code: int, seconds: float) -> None:
    """Count a request by the name of its endpoint, its status code and its duration."""
    duration, count = _request_counts(endpoint, status_code)
    duration.observe(seconds)
    count.inc()


def count_idle_poll(door: str) -> None:
    """Count a poll that brought nothing and got nothing."""
    _idle_count(door).inc()


def count_attempt(outcome: str) -> None:
    """Count a webhook request of this worker."""
    with _attempts_lock:
        _attempts[outcome] += 1


def attempt_counts() -> dict[str, int]:
    """Return the webhook requests of this worker by outcome; its heartbeat stores them for all machines."""
    with _attempts_lock:
        return dict(_attempts)


class Polls(Collector):
    """Calls of phones' endpoints: requests once more, so they are added up when asked for and not counted twice."""

    def __init__(self, counted: CollectorRegistry) -> None:
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        text = "Calls of phones' endpoints, by door and result: ok, refused, failed."
        polls = CounterMetricFamily("smsgw_polls", text, labels=["door", "result"])
        for labels, count in self._added_up().items():
            polls.add_metric(labels, count)
        yield polls

    def _added_up(self) -> dict[tuple[str, str], float]:
        counts: dict[tuple[str, str], float] = {}
        for family in self._counted.collect():
            for sample in family.samples:
                door = sample.labels.get("endpoint", "").partition(".")[0]
                if sample.name == "smsgw_requests_total" and door in _DOORS:
                    key = door, _RESULTS.get(sample.labels["status"][0], "ok")
                    counts[key] = counts.get(key, 0) + sample.value
        return counts


@cache
def _request_counts(endpoint: str, status_code: int) -> tuple[Histogram, Counter]:
    return REQUEST_SECONDS.labels(endpoint), REQUESTS.labels(endpoint, status_code)


@cache
def _idle_count(door: str) -> Counter:
    return IDLE_POLLS.labels(door)
