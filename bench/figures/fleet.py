"""Simulated phones that poll while SMS are sent: how long polls take, and that none is lost or sent twice."""

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from smsgw.store.db import Database
from smsgw.store.models import Message

from .. import people, places, processes
from ..processes import Usage
from ..scope import Scope, require
from ..table import Aim, Figure, shown

P99_AIM = Aim(250, is_upper=True, unit="ms")
TICK_SECONDS = 0.5
# Each phone needs two open files, and 20,000 in a process is a usual limit.
MOST_IN_A_PROCESS = 8000


@dataclass(frozen=True)
class Fleet:
    """`interval` seconds between two polls of a phone, SMS sent for `sending` seconds, the rest to finish in."""

    phones: int
    sms_per_second: int
    interval: int
    sending: int
    rest: int


QUICK = Fleet(phones=50, sms_per_second=10, interval=1, sending=2, rest=3)
USUAL = Fleet(phones=2000, sms_per_second=10, interval=15, sending=40, rest=35)
FULL = Fleet(phones=20000, sms_per_second=100, interval=60, sending=180, rest=130)


@dataclass(frozen=True)
class Outcome:
    """What the phones tell, how many SMS were queued, and what the server used at the begin and at the end."""

    results: dict[str, Any]
    queued: int
    before: Usage
    after: Usage
    seconds: float


def measure(scope: Scope) -> list[Figure]:
    """Polls a second, their p99, and the server's share of the processor and its memory."""
    size = QUICK if scope.is_quick else FULL if scope.is_full else USUAL
    figures = _measure(scope, size, "sqlite")
    return figures + (_measure(scope, size, "postgresql") if scope.is_full else [])


def _measure(scope: Scope, size: Fleet, kind: str) -> list[Figure]:
    url = scope.new_database(kind, f"fleet_{kind}")
    taking_part = people.make(url, size.phones)
    with scope.app(url) as server:
        outcome = run(scope, server, taking_part, size)
    late = _check(url, outcome)
    # Only the full fleet may be more than a machine carries; of the others each SMS has had its time.
    require(scope.is_full or late == 0, f"{late} of {outcome.queued} SMS were not sent")
    name = f"{size.phones:,} phones, {size.sms_per_second} SMS/s, {kind}"
    p99 = float(outcome.results["latency_ms"]["p99"])
    cpu = (outcome.after.cpu_seconds - outcome.before.cpu_seconds) / outcome.seconds
    return [
        shown(f"{name}, p99", "ms", p99, P99_AIM),
        shown(f"{name}, p50", "ms", float(outcome.results["latency_ms"]["p50"])),
        shown(f"{name}, polls", "/s", outcome.results["polls"] / outcome.seconds),
        shown(f"{name}, SMS, none lost or twice", "SMS", outcome.queued),
        shown(f"{name}, of these not sent by the end", "SMS", late),
        shown(f"{name}, processor", "cores", cpu),
        shown(f"{name}, memory", "MiB", outcome.after.memory_mib),
    ]


def run(scope: Scope, server: places.Server, taking_part: people.People, size: Fleet) -> Outcome:
    """Lets the fleet live while SMS are queued for its phones."""
    seconds = size.sending + size.rest
    before, began = processes.usage(server.process.pid), time.monotonic()
    shares = -(-size.phones // MOST_IN_A_PROCESS)
    phones = [
        _start(scope, server, taking_part.logins[number::shares], size.interval, seconds)
        for number in range(shares)
    ]
    try:
        queued = _send(server, taking_part, size)
        results = [json.loads(one.communicate(timeout=seconds + 120)[0]) for one in phones]
    finally:
        for one in phones:
            places.end(one)
    after = processes.usage(server.process.pid)
    return Outcome(_sum_up(results), queued, before, after, time.monotonic() - began)


def _start(
    scope: Scope,
    server: places.Server,
    logins: list[tuple[str, str]],
    interval: int,
    seconds: int,
) -> subprocess.Popen[str]:
    credentials = scope.folder / f"credentials_{logins[0][0]}_{server.port}.txt"
    credentials.write_text("".join(f"{name}:{secret}\n" for name, secret in logins))
    command = [sys.executable, "demo/phone.py", f"{server.url}/api/sms", "--json"]
    command += ["--credentials", str(credentials), "--interval", str(interval)]
    command += ["--seconds", str(seconds), "--speed", "60"]
    return subprocess.Popen(command, cwd=places.ROOT, stdout=subprocess.PIPE, text=True)


def _sum_up(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What all processes of phones tell; of their percentiles the worst."""
    return {
        "polls": sum(one["polls"] for one in results),
        "errors": sum(one["errors"] for one in results),
        "error_kinds": [one["error_kinds"] for one in results],
        "sent_twice": [id_ for one in results for id_ in one["sent_twice"]],
        "messages": {id_: row for one in results for id_, row in one["messages"].items()},
        "latency_ms": {
            name: max(one["latency_ms"][name] for one in results) for name in ("p50", "p99")
        },
    }


def _send(server: places.Server, taking_part: people.People, size: Fleet) -> int:
    """Queues SMS for phones at random, a batch every half second; returns how many."""
    rng, began, queued = random.Random(1), time.monotonic(), 0
    batch = int(size.sms_per_second * TICK_SECONDS)
    for tick in range(int(size.sending / TICK_SECONDS)):
        time.sleep(max(0.0, began + tick * TICK_SECONDS - time.monotonic()))
        drafts = [
            {
                "to": "+447700900456",
                "content": f"Reminder {tick}.{number}",
                "device_id": rng.choice(taking_part.logins)[0],
            }
            for number in range(batch)
        ]
        status, answer = server.request(
            "POST", "/api/v1/messages/batch", {"messages": drafts}, taking_part.crm_header
        )
        require(status == 202, f"a batch was answered {status} {answer}")
        queued += batch
    return queued


def _check(url: str, outcome: Outcome) -> int:
    """How many SMS were still on their way when the phones stopped."""
    results = outcome.results
    require(results["errors"] == 0, f"{results['errors']} polls failed: {results['error_kinds']}")
    require(not results["sent_twice"], f"sent twice: {results['sent_twice']}")
    database = Database(url)
    with database.reading() as session:
        states = dict(
            session.execute(sa.select(Message.status, sa.func.count()).group_by(Message.status))
            .tuples()
            .all()
        )
    database.close()
    kept = sum(count for name, count in states.items() if name not in ("failed", "expired"))
    require(kept == outcome.queued, f"some SMS were lost: {states} of {outcome.queued}")
    sent = sum(int(row["sent"]) for row in results["messages"].values())
    ended = sum(states.get(name, 0) for name in ("sent", "delivered"))
    require(ended <= sent, f"{ended} SMS are said to be sent, and phones sent {sent}")
    return outcome.queued - sent
