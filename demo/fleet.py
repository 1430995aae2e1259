"""Runs many simulated phones on one event loop, and sums up what they did."""

from __future__ import annotations

import asyncio
import random
import statistics
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.pretend import Phone, Poll
from demo.rows import Ledger


@dataclass(slots=True)
class Tally:
    """The results of all polls of all phones; times in seconds."""

    polls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    times: array[float] = field(default_factory=lambda: array("d"))

    def record(self, poll: Poll) -> None:
        self.polls += 1
        self.times.append(poll.seconds)
        if poll.error:
            self.errors[poll.error] += 1


@dataclass(frozen=True, slots=True)
class Plan:
    """`interval` seconds between wake-ups, `rate` SMS arriving per minute and phone, `arriving`
    (content, sender) at the start, and the end after `polls` wake-ups or `seconds`."""

    interval: float = 60.0
    rate: float = 0.0
    arriving: tuple[tuple[str, str], ...] = ()
    polls: int | None = None
    seconds: float | None = None
    seed: int | None = None

    def rng(self, number: int) -> random.Random:
        return random.Random(None if self.seed is None else f"{self.seed}-{number}")


async def run(phones: list[Phone], plan: Plan) -> None:
    """Run all phones at once, their alarms spread over the interval, until each has made its polls."""
    try:
        async with asyncio.TaskGroup() as group:
            for number, phone in enumerate(phones, start=1):
                group.create_task(live(phone, plan, plan.rng(number), len(phones)))
    finally:
        for phone in phones:
            phone.close()


async def live(phone: Phone, plan: Plan, rng: random.Random, phones: int) -> None:
    texting = asyncio.create_task(texts(phone, plan.rate, rng))
    try:
        await asyncio.sleep(rng.uniform(0, plan.interval) if phones > 1 else 0)
        for content, sender in plan.arriving:
            await phone.receive(content, sender)
        await alarms(phone, plan)
    finally:
        texting.cancel()


async def alarms(phone: Phone, plan: Plan) -> None:
    """Wake up every `interval`; alarms that were due during a long poll follow without a pause."""
    clock = asyncio.get_running_loop().time
    began, done = clock(), 0
    while True:
        await phone.wake()
        done += 1
        if done == plan.polls:
            return
        await asyncio.sleep(max(0.0, began + done * plan.interval - clock()))


async def texts(phone: Phone, rate: float, rng: random.Random) -> None:
    """Receive SMS from numbers reserved for fiction, at random times."""
    number = 0
    while rate:
        await asyncio.sleep(rng.expovariate(rate / 60))
        number += 1
        await phone.receive(f"Test SMS {number}", f"+447700900{rng.randrange(1000):03d}")


def summary(phones: list[Phone], tally: Tally, ledger: Ledger) -> dict[str, Any]:
    """Return what `--json` prints; `sent` counts the SMS that were really sent and must never be 2,
    `unreported` the messages of which the server does not know how they stand."""
    messages = {
        id_: {"to": fate.to, "sent": fate.sent, "last_status": fate.last_status}
        for id_, fate in ledger.messages.items()
    }
    return {
        "devices": len(phones),
        "polls": tally.polls,
        "errors": tally.errors.total(),
        "error_kinds": dict(tally.errors.most_common()),
        "received_forwarded": ledger.forwarded,
        "messages": messages,
        "unreported": sum(phone.handset.unreported() for phone in phones),
        "sent_twice": ledger.sent_twice(),
        "latency_ms": latency_ms(tally.times),
    }


def latency_ms(times: Sequence[float]) -> dict[str, float | None]:
    """Return the median and the 99th percentile of `times`, which are seconds."""
    if not times:
        return {"p50": None, "p99": None}
    every = times if len(times) > 1 else [*times, *times]  # quantiles wants two
    hundredths = statistics.quantiles(every, n=100, method="inclusive")
    return {name: round(hundredths[at] * 1000, 1) for name, at in (("p50", 49), ("p99", 98))}
