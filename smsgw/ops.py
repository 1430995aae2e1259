"""Serves `/healthz`, `/readyz` and `/metrics` for those who run the server."""

import logging
import platform
from collections.abc import Iterator

from flask import Blueprint, Response, json, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from . import __version__, clock, metrics
from .core.operations import health
from .core.operations import metrics as stored_metrics
from .core.operations.finding import Finding
from .http.context import services
from .http.guards import person_required, public

blueprint = Blueprint("ops", __name__)
_NOT_COUNTED = (
    "requests are left out, because each process counts its own: "
    "set PROMETHEUS_MULTIPROC_DIR to an empty folder before the start"
)
_LOG = logging.getLogger("smsgw.metrics")


@blueprint.get("/healthz")
@public
def live() -> Response:
    """Answer `{"status": "ok"}`: the process runs."""
    return _json({"status": "ok"}, 200)


@blueprint.get("/readyz")
@public
def ready() -> Response:
    """Answer 200 when disk, database, tables and worker are as they should be, 503 otherwise, with a word on each."""
    findings = health.examine(services().database, clock.now())
    is_ready = all(finding.state != "wrong" for finding in findings)
    # Without the details, which are the operator's: `doctor` shows them.
    checks = {finding.check: finding.state for finding in findings}
    return _json({"ready": is_ready, "checks": checks}, 200 if is_ready else 503)


@blueprint.get("/metrics")
@public
def show_metrics() -> Response:
    """Show the metrics in Prometheus' text format; to operators, unless SMSGW_METRICS_PUBLIC."""
    if services().settings.metrics_public:
        return _metrics()
    answer: Response = person_required(_metrics)()
    return answer


def _metrics() -> Response:
    with services().database.reading() as session:
        read = stored_metrics.read(session, services().settings, clock.now())
    findings = health.examine(services().database, clock.now())
    stored = CollectorRegistry()
    stored.register(_Stored(read))
    stored.register(_Health(findings))
    return Response(_counted() + generate_latest(stored), content_type=CONTENT_TYPE_LATEST)


def _counted() -> bytes:
    """Return what all processes counted; one process of several would show its own share, another one at each call."""
    if request.environ["wsgi.multiprocess"] and not metrics.is_multiprocess():
        _LOG.warning(_NOT_COUNTED)
        return f"# {_NOT_COUNTED}\n".encode()
    counted, derived = metrics.registry(), CollectorRegistry()
    derived.register(metrics.Polls(counted))
    return generate_latest(counted) + generate_latest(derived)


class _Health(Collector):
    """The versions that run here, and whether they can do their work."""

    def __init__(self, findings: list[Finding]) -> None:
        self._findings = findings

    def collect(self) -> Iterator[Metric]:
        versions = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("smsgw_build", "The versions that run.", value=versions)
        yield _gauge(
            "smsgw_ready",
            "1 where a check of /readyz finds all well; those after one that fails are not made.",
            ["check"],
            [([one.check], int(one.state != "wrong")) for one in self._findings],
        )


class _Stored(Collector):
    """The figures of the database as Prometheus wants them."""

    def __init__(self, read: stored_metrics.Figures) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        read = self._read
        yield _gauge(
            "smsgw_messages",
            "Messages by direction and status.",
            ["direction", "status"],
            [([*key], count) for key, count in read.messages.items()],
        )
        yield from self._queues()
        yield from self._devices()
        for name, text, value in (
            ("smsgw_stuck_messages", "Messages a phone has had for too long.", read.stuck_count),
            ("smsgw_deliveries_pending", "Webhook deliveries to make.", read.pending_deliveries),
            ("smsgw_deliveries_overdue", "Of these, due by now.", read.overdue_deliveries),
            ("smsgw_webhooks_disabled", "Webhook endpoints off.", read.disabled_endpoints),
            ("smsgw_quarantined_items", "Items no one could read.", read.quarantined_count),
            (
                "smsgw_worker_silent_seconds",
                "Since a worker was last seen; NaN when none ever was.",
                _or_nan(read.worker_silent_seconds),
            ),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield self._attempts()

    def _attempts(self) -> Metric:
        text = "Webhook requests of each worker since it started, by outcome."
        family = CounterMetricFamily("smsgw_webhook_attempts", text, labels=["worker", "outcome"])
        for labels, count in self._read.webhook_attempts.items():
            family.add_metric(labels, count)
        return family

    def _queues(self) -> Iterator[Metric]:
        queues = self._read.queues
        labels = ["lane"]
        yield _gauge(
            "smsgw_queue_length",
            "Queued messages, scheduled ones too: d:<device_id>, or c:<crm_id> for any of its devices.",
            labels,
            [([queue.name], queue.queued_count) for queue in queues],
        )
        yield _gauge(
            "smsgw_queue_oldest_seconds",
            "For how long the oldest queued message has been due.",
            labels,
            [([queue.name], queue.oldest_seconds) for queue in queues],
        )

    def _devices(self) -> Iterator[Metric]:
        devices = self._read.devices
        labels = ["device_id"]
        yield _gauge(
            "smsgw_device_silent_seconds",
            "Since the device was last seen; NaN when it never was. Disabled devices have none.",
            labels,
            [([one.device_id], _or_nan(one.silent_seconds)) for one in devices if one.is_enabled],
        )
        yield _gauge(
            "smsgw_device_in_flight",
            "Messages the device has in hand.",
            labels,
            [([one.device_id], one.in_flight_count) for one in devices],
        )
        yield _gauge(
            "smsgw_device_unknown_reports",
            "Reports about messages that are not ours, since the device was made.",
            labels,
            [([one.device_id], one.unknown_report_count) for one in devices],
        )
        yield _gauge(
            "smsgw_device_quarantine_dropped",
            "Items dropped from the quarantine for newer ones, since it was cleared.",
            labels,
            [([one.device_id], one.quarantine_dropped_count) for one in devices],
        )
        yield _gauge(
            "smsgw_device_silent",
            "1 while the device does not do what it did: not_sending, not_receiving, no_delivery_reports. "
            "Disabled devices have none.",
            ["device_id", "reason"],
            [([*key], int(is_silent)) for key, is_silent in self._read.silences.items()],
        )
        yield from self._limits()

    def _limits(self) -> Iterator[Metric]:
        read = self._read
        labels = ["device_id", "limit"]
        yield _gauge(
            "smsgw_device_limit",
            "The limits that apply to the device.",
            labels,
            [([one.device_id, one.name], one.limit) for one in read.limits],
        )
        yield _gauge(
            "smsgw_device_limit_used",
            "What the device was handed of each of its limits.",
            labels,
            [([one.device_id, one.name], one.used) for one in read.limits],
        )
        yield _gauge(
            "smsgw_device_paused_seconds",
            "For how long the device is paused still after failures; 0 when it is not. Disabled devices have none.",
            ["device_id"],
            [([device_id], seconds) for device_id, seconds in read.paused_seconds.items()],
        )


def _gauge(
    name: str, text: str, labels: list[str], samples: list[tuple[list[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _json(body: dict[str, object], status: int) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")
