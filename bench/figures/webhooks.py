"""Webhooks: how many a worker delivers, and what one receiver that hangs costs the others."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import quantiles

import requests
import sqlalchemy as sa

from smsgw import clock, ids
from smsgw.core.events import recording
from smsgw.core.events.recording import NewEvent
from smsgw.server import supervisor
from smsgw.store.db import Database
from smsgw.store.models import Delivery, WebhookEndpoint

from .. import people, places
from ..scope import Scope, require
from ..table import Aim, Figure, compared

SPEED_AIM = Aim(2)
HANGING_AIM = Aim(1.5, is_upper=True)
ENDPOINTS = 10
PER_SECOND = 5
PATIENCE_SECONDS = 60
DATA = {"id": "msg_0", "content": "x" * 160, "metadata": None, "from": "+447700900123"}


@dataclass(frozen=True)
class Receiver:
    """A receiver that runs, and the file it writes what came into."""

    url: str
    file: Path

    def lines(self) -> list[list[str]]:
        """What came so far: path, moment, and the event's own moment."""
        return [line.split() for line in self.file.read_text().splitlines()]


@contextmanager
def receiving(folder: Path, name: str) -> Iterator[Receiver]:
    listener = supervisor.listen(places.HOST, 0)
    file = folder / f"received_{name}.txt"
    with listener, file.open("w") as output:
        descriptor = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.receiver", str(descriptor)],
            cwd=places.ROOT,
            stdout=output,
            pass_fds=(descriptor,),
        )
        try:
            yield Receiver(f"http://{places.HOST}:{listener.getsockname()[1]}", file)
        finally:
            places.end(process)


def measure(scope: Scope) -> list[Figure]:
    """Deliveries a second of one worker process, and the healthy endpoints' p99 beside one that hangs."""
    speed = [_speed(scope, number) for number in range(scope.rounds)]
    seconds = 2 if scope.is_quick else 8
    hanging = [_hanging(scope, number, seconds) for number in range(min(scope.rounds, 5))]
    return [
        compared("webhook deliveries per worker", "/s", speed, SPEED_AIM),
        compared("webhooks, one of 10 hangs, p99", "ms", hanging, HANGING_AIM),
    ]


def _speed(scope: Scope, number: int) -> tuple[float, float]:
    url = scope.new_database("sqlite", f"webhooks_{number}")
    database, count = Database(url), 20 if scope.is_quick else 300
    with receiving(scope.folder, f"speed_{number}") as receiver:
        crm_id = _endpoints(database, url, receiver, [f"/{n}" for n in range(ENDPOINTS)])
        for _ in range(count):
            _happen(database, crm_id)
        with places.worker(scope.folder, url):
            _wait(receiver, count * ENDPOINTS)
        moments = sorted(float(line[1]) for line in receiver.lines())
        require(len(moments) == count * ENDPOINTS, "a webhook was delivered twice")
        ours = (len(moments) - 1) / (moments[-1] - moments[0])
        reference = _posted_in_a_loop(receiver, 60 if scope.is_quick else 300)
    _check(database)
    database.close()
    return ours, reference


def _posted_in_a_loop(receiver: Receiver, count: int) -> float:
    body = b'{"timestamp":"' + b"x" * 700 + b'"}'
    began = time.perf_counter()
    for _ in range(count):
        requests.post(f"{receiver.url}/loop", data=body, timeout=10)
    return count / (time.perf_counter() - began)


def _hanging(scope: Scope, number: int, seconds: int) -> tuple[float, float]:
    healthy = [f"/{n}" for n in range(ENDPOINTS)]
    together = _latencies(scope, f"well_{number}", healthy, seconds)
    beside = _latencies(scope, f"hanging_{number}", [*healthy[1:], "/hang"], seconds)
    return _p99(beside), _p99(together)


def _latencies(scope: Scope, name: str, paths: list[str], seconds: int) -> list[float]:
    """From the event to its receipt, in ms, at the healthy endpoints."""
    url = scope.new_database("sqlite", f"webhooks_{name}")
    database = Database(url)
    with receiving(scope.folder, name) as receiver:
        crm_id = _endpoints(database, url, receiver, paths)
        with places.worker(scope.folder, url):
            _happen(database, crm_id)
            well = len([path for path in paths if path != "/hang"])
            _wait(receiver, well)
            _happen_steadily(database, crm_id, seconds)
            _wait(receiver, well * (1 + seconds * PER_SECOND))
        lines = [line for line in receiver.lines() if line[0] != "/hang"][well:]
    database.close()
    return [
        1000 * (float(at) - datetime.fromisoformat(stamp).timestamp()) for _, at, stamp in lines
    ]


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def _happen_steadily(database: Database, crm_id: str, seconds: int) -> None:
    began = time.monotonic()
    for number in range(seconds * PER_SECOND):
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        _happen(database, crm_id)


def _happen(database: Database, crm_id: str) -> None:
    with database.transaction() as session:
        recording.record(session, [NewEvent("message.received", crm_id, DATA)], clock.now())


def _endpoints(database: Database, url: str, receiver: Receiver, paths: list[str]) -> str:
    crm_id = people.make(url, 1).crm_id
    with database.transaction() as session:
        session.add_all(
            WebhookEndpoint(
                id=ids.new_endpoint_id(),
                crm_id=crm_id,
                url=f"{receiver.url}{path}",
                secrets=[{"secret": ids.new_webhook_secret(), "expires_at": None}],
                created_at=clock.now(),
            )
            for path in paths
        )
    return crm_id


def _wait(receiver: Receiver, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len([line for line in receiver.lines() if line[0] != "/hang"]) < count:
        require(time.monotonic() < deadline, f"not all of {count} webhooks were delivered")
        time.sleep(0.1)


def _check(database: Database) -> None:
    deadline = time.monotonic() + 1
    pending = 1
    while pending and time.monotonic() < deadline:
        with database.reading() as session:
            count = sa.select(sa.func.count()).where(Delivery.status == "pending")
            pending = session.scalar(count) or 0
    # The last ones may have been on their way when the worker was ended; those it settles on its way out.
    require(pending <= ENDPOINTS, f"{pending} deliveries are pending after all were made")
