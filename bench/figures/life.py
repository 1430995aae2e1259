"""The whole life of an SMS: queued by REST, handed out, reported four times by its phone, each event sent as a webhook.

Addressed to a phone, and open to any; the phones poll all the while, and a worker runs.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import sqlalchemy as sa

from smsgw.store.db import Database
from smsgw.store.models import Delivery, Dispatch, Event, Message

from .. import people, places, processes
from ..phones import Fleet
from ..scope import Scope, require
from ..table import Aim, Figure, compared, shown
from .webhooks import Receiver, receiving

EVEN_AIM = Aim(0.9)
SPEED_AIMS = {"sqlite": Aim(450, unit="SMS/s")}
# Milliseconds of processor for each SMS, on PostgreSQL with the database's.
PROCESSOR_AIMS = {
    "sqlite": Aim(2, is_upper=True, unit="ms"),
    "postgresql": Aim(4, is_upper=True, unit="ms"),
}
WAIT_AIM = Aim(2000, is_upper=True, unit="ms")
EVENTS = ("message.dispatched", "message.accepted", "message.sent", "message.delivered")
BATCH = 100
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Size:
    """`messages` of each kind in each of `rounds`; `interval` seconds between two wake-ups of a phone."""

    phones: int
    messages: int
    rounds: int
    interval: float


QUICK = Size(phones=20, messages=100, rounds=1, interval=0.1)
USUAL = Size(phones=200, messages=1000, rounds=3, interval=0.5)


@dataclass(frozen=True)
class Outcome:
    """Of one round: SMS a second until the last delivery report and until its webhook, processor for each SMS, and how
    long webhooks waited."""

    per_second: float
    with_webhooks_per_second: float
    ours_ms: float
    database_ms: float
    webhook_p99_ms: float

    @property
    def whole_ms(self) -> float:
        """The processor for each SMS, with the database's processes."""
        return self.ours_ms + self.database_ms


@dataclass(frozen=True)
class Gateway:
    """The server, those who take part, and where to read what came of it."""

    server: places.Server
    taking_part: people.People
    fleet: Fleet
    receiver: Receiver
    database: Database
    postgresql_pid: int | None


def measure(scope: Scope) -> list[Figure]:
    """Messages a second, open ones against addressed ones; processor for each; how long webhooks wait."""
    size = QUICK if scope.is_quick else USUAL
    return [figure for kind in scope.kinds for figure in _measure(scope, kind, size)]


@contextmanager
def running(scope: Scope, kind: str, name: str, size: Size) -> Iterator[Gateway]:
    """A server with its worker, phones and a webhook's receiver, on a new database."""
    url = scope.new_database(kind, name)
    taking_part = people.make(url, size.phones)
    with (
        closing(Database(url)) as database,
        receiving(scope.folder, name) as receiver,
        scope.app(url) as server,
    ):
        endpoint = {"url": f"{receiver.url}/life"}
        status, _ = server.request("POST", "/api/v1/webhooks", endpoint, taking_part.crm_header)
        require(status == 201, f"the webhook endpoint was answered {status}")
        fleet = Fleet(server.port, taking_part.logins, size.interval)
        pid = postmaster(scope.folder) if kind == "postgresql" else None
        yield Gateway(server, taking_part, fleet, receiver, database, pid)


def run(gateway: Gateway, count: int, queue: Callable[[], None]) -> Outcome:
    """Send so many SMS, from their queueing to their last webhook."""
    known = len(gateway.receiver.lines())
    before, began, began_at = _processor(gateway), time.monotonic(), time.time()
    asyncio.run(_live(gateway, count, queue))
    seconds = time.monotonic() - began
    lines = _webhooks(gateway)[known:]
    ours, database = (
        1000 * (after - earlier) / count
        for after, earlier in zip(_processor(gateway), before, strict=True)
    )
    to_last = max(float(moment) for _, moment, _ in lines) - began_at
    return Outcome(count / seconds, count / to_last, ours, database, _p99(lines))


def postmaster(folder: Path) -> int:
    """The first process of the run's PostgreSQL."""
    return int((folder / "postgresql" / "postmaster.pid").read_text().split()[0])


def _measure(scope: Scope, kind: str, size: Size) -> list[Figure]:
    with running(scope, kind, f"life_{kind}", size) as gateway:
        for is_open in (False, True):
            _run(gateway, size.messages // 10, is_open=is_open)
        rounds = [_round(gateway, size.messages, number) for number in range(size.rounds)]
        _check(gateway, 2 * (size.messages // 10 + size.rounds * size.messages))
    return _figures(kind, rounds)


def _round(gateway: Gateway, count: int, number: int) -> tuple[Outcome, Outcome]:
    """Run open and addressed messages, by turns one and the other first."""
    order = (True, False) if number % 2 else (False, True)
    outcomes = {is_open: _run(gateway, count, is_open=is_open) for is_open in order}
    return outcomes[True], outcomes[False]


def _run(gateway: Gateway, count: int, *, is_open: bool) -> Outcome:
    return run(gateway, count, partial(_queue, gateway, count, is_open))


def _figures(kind: str, rounds: Sequence[tuple[Outcome, Outcome]]) -> list[Figure]:
    name = f"whole SMS, {kind}"
    speeds = [(ours.per_second, theirs.per_second) for ours, theirs in rounds]
    figures = [compared(f"{name}, open against addressed", "SMS/s", speeds, EVEN_AIM)]
    for word, outcomes in zip(("open", "addressed"), zip(*rounds, strict=True), strict=True):
        speed = median(one.per_second for one in outcomes)
        whole = median(one.whole_ms for one in outcomes)
        ours = median(one.ours_ms for one in outcomes)
        wait = median(one.webhook_p99_ms for one in outcomes)
        figures += [
            shown(f"{name}, {word}", "SMS/s", speed, SPEED_AIMS.get(kind)),
            shown(f"{name}, {word}, processor", "ms each", whole, PROCESSOR_AIMS[kind]),
            shown(f"{name}, {word}, processor of the server alone", "ms each", ours),
            shown(f"{name}, {word}, webhook waits, p99", "ms", wait, WAIT_AIM),
        ]
    return figures


async def _live(gateway: Gateway, count: int, queue: Callable[[], None]) -> None:
    wanted = gateway.fleet.delivered + count
    await asyncio.gather(
        asyncio.to_thread(queue),
        gateway.fleet.run_until_delivered(wanted, PATIENCE_SECONDS),
    )


def _queue(gateway: Gateway, count: int, is_open: bool) -> None:
    header, logins = gateway.taking_part.crm_header, gateway.taking_part.logins
    # No text twice for a number, which the server would refuse in the end.
    first = gateway.fleet.delivered
    drafts = [
        {"to": f"+4477009{number:05d}", "content": f"Reminder {number}: we expect you at ten"}
        for number in range(first, first + count)
    ]
    if not is_open:
        drafts = [
            {**draft, "device_id": logins[number % len(logins)][0]}
            for number, draft in enumerate(drafts)
        ]
    for start in range(0, count, BATCH):
        body = {"messages": drafts[start : start + BATCH]}
        status, answer = gateway.server.request("POST", "/api/v1/messages/batch", body, header)
        require(status == 202, f"a batch was answered {status} {str(answer)[:500]}")


def _processor(gateway: Gateway) -> tuple[float, float]:
    """Seconds of processor that the server's and the database's processes have used."""
    ours = processes.usage(gateway.server.process.pid).cpu_seconds
    if gateway.postgresql_pid is None:
        return ours, 0.0
    return ours, processes.usage(gateway.postgresql_pid).cpu_seconds


def _webhooks(gateway: Gateway) -> list[list[str]]:
    """What the receiver has, once nothing is left to deliver. Each delivery has to come once."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _count(gateway.database, Delivery.status == "pending"):
        require(time.monotonic() < deadline, "not all webhooks were delivered")
        time.sleep(0.1)
    expected, lines = _count(gateway.database), gateway.receiver.lines()
    while len(lines) < expected and time.monotonic() < deadline:
        time.sleep(0.1)
        lines = gateway.receiver.lines()
    require(len(lines) == expected, f"{len(lines)} webhooks came of {expected}")
    return lines


def _count(database: Database, *conditions: sa.ColumnElement[bool]) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count(Delivery.id)).where(*conditions)) or 0


def _p99(lines: Sequence[Sequence[str]]) -> float:
    waits = [
        1000 * (float(at) - datetime.fromisoformat(stamp).timestamp()) for _, at, stamp in lines
    ]
    return quantiles(waits, n=100)[98]


def _check(gateway: Gateway, count: int) -> None:
    """Each message was handed out once, is delivered, and each of its events was recorded once."""
    taken = list(gateway.fleet.taken())
    require(len(set(taken)) == len(taken) == count, f"{len(taken)} SMS of {count} were handed out")
    with gateway.database.reading() as session:
        handed_out = session.scalar(sa.select(sa.func.count(Dispatch.message_id.distinct())))
        delivered = session.scalar(sa.select(sa.func.count()).where(Message.status == "delivered"))
        events = {
            name: (rows, messages)
            for name, rows, messages in session.execute(
                sa.select(
                    Event.type, sa.func.count(), sa.func.count(Event.message_id.distinct())
                ).group_by(Event.type)
            ).tuples()
        }
    require(handed_out == count, f"{count - (handed_out or 0)} SMS were handed out twice")
    require(delivered == count, f"{delivered} of {count} SMS are delivered")
    for name in EVENTS:
        found = events.get(name, (0, 0))
        require(found == (count, count), f"{found} events {name} of {count} messages")
