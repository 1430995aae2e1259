"""Counts what went wrong, per kind of round: what the server says against what happened."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from .callers import messages
from .world import FINAL, Traffic, World, left_in_the_end

HEADS = {
    "rounds": "rounds",
    "messages": "SMS out",
    "received": "SMS in",
    "unconfirmed": "unconfirmed",
    "lost": "lost",
    "twice": "twice",
    "wrong": "wrong status",
    "events": "events missing",
    "seconds": "s/round",
}


@dataclass
class Tally:
    """The figures of one kind of round; `faults` says what each fault was."""

    rounds: int = 0
    messages: int = 0
    received: int = 0
    unconfirmed: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    events: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def fault(self, column: str, text: str) -> None:
        """Count a fault."""
        setattr(self, column, getattr(self, column) + 1)
        self.faults.append(f"{HEADS[column]}: {text}")


@dataclass
class Answers:
    """What the server says in the end, and what the receiver got."""

    outbound: dict[str, list[dict[str, Any]]]
    inbound: dict[str, list[dict[str, Any]]]
    events: dict[str, set[str]]
    missing: dict[str, list[str]]


def judge(
    world: World, rounds: Iterable[Traffic], unconfirmed: Collection[str]
) -> dict[str, Tally]:
    """The figures of each kind; messages may end as `unconfirmed` in the kinds named."""
    answers = _ask(world)
    tallies: dict[str, Tally] = defaultdict(Tally)
    for traffic in rounds:
        tally = tallies[traffic.kind]
        tally.rounds += 1
        tally.seconds += traffic.seconds
        for reference in traffic.references:
            tally.messages += 1
            _judge_outbound(tally, reference, world.sent, answers, traffic.kind in unconfirmed)
        for content in traffic.inbound:
            tally.received += 1
            _judge_inbound(tally, content, answers)
    return tallies


def table(tallies: dict[str, Tally]) -> str:
    """The figures as a Markdown table, kinds in the order of the alphabet, and their sum."""
    total = Tally()
    lines = [["kind of round", *HEADS.values()]]
    for kind, tally in sorted(tallies.items()):
        lines.append([kind.replace("_", " "), *_cells(tally)])
        for name in HEADS:
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    lines.append(["**all**", *_cells(total)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(
        "| " + " | ".join(cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(line, widths, strict=True))) + " |"
        for line in lines
    )  # fmt: skip


def _cells(tally: Tally) -> list[str]:
    counts = [str(getattr(tally, name)) for name in HEADS if name != "seconds"]
    return [*counts, f"{tally.seconds / max(1, tally.rounds):.1f}"]


def _judge_outbound(
    tally: Tally, reference: str, sent: Counter[str], answers: Answers, may_be_unconfirmed: bool
) -> None:
    rows, times = answers.outbound[reference], sent[reference]
    if times > 1 or len(rows) > 1:
        tally.fault("twice", f"{reference} was sent {times} times and is {len(rows)} messages")
    if not rows or rows[0]["status"] not in FINAL:
        tally.fault("lost", f"{reference} is {rows[0]['status'] if rows else 'unknown'}")
        return
    row = rows[0]
    is_unconfirmed = row["status"] == "failed" and row["reason_class"] == "unconfirmed"
    if is_unconfirmed and may_be_unconfirmed:
        tally.unconfirmed += 1
    elif row["status"] != "delivered" or not times:
        tally.fault("wrong", f"{reference} was sent {times} times and is {_describe(row)}")
    _judge_events(tally, reference, row, answers)


def _judge_inbound(tally: Tally, content: str, answers: Answers) -> None:
    rows = answers.inbound[content]
    if not rows:
        tally.fault("lost", f"the inbound {content} is unknown")
        return
    if len(rows) > 1:
        tally.fault("twice", f"the inbound {content} is {len(rows)} messages")
    _judge_events(tally, content, rows[0], answers)


def _judge_events(tally: Tally, name: str, row: dict[str, Any], answers: Answers) -> None:
    """Its last status has an event, and whatever events there are of it have reached the receiver."""
    if f"message.{row['status']}" not in answers.events[row["id"]]:
        tally.fault("events", f"{name} is {row['status']}, of which there is no event")
    for event in answers.missing[row["id"]]:
        tally.fault("events", f"{event} of {name} has not reached the receiver")


def _describe(row: dict[str, Any]) -> str:
    return " ".join(str(row[name]) for name in ("status", "reason_class", "reason") if row[name])


def _ask(world: World) -> Answers:
    outbound, inbound = defaultdict(list), defaultdict(list)
    for row in messages(world.crm):
        if row["direction"] == "outbound":
            outbound[row["reference"]].append(row)
        else:
            inbound[row["content"]].append(row)
    world.feed.read()
    ids = {event["id"] for event in world.feed.events}
    unknown = left_in_the_end(lambda: ids - set(world.receiver.event_ids))
    events, missing = defaultdict(set), defaultdict(list)
    for event in world.feed.events:
        message = event["data"].get("id", "")
        events[message].add(event["type"])
        if event["id"] in unknown:
            missing[message].append(f"{event['id']} {event['type']}")
    return Answers(outbound, inbound, events, missing)
