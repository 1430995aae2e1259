"""Simulates a phone (or thousands) with the stock cht-gateway app."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import re
import resource
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `python demo/phone.py`

from demo.fleet import Plan, Tally, run, summary
from demo.handset import Handset
from demo.in_hand import PhoneInHand
from demo.pretend import Mode, Phone, Poll
from demo.rows import Ledger, Network, Outgoing, Report, good_network, leaves, radio_off
from demo.target import typed_url
from demo.terminal import safe, say, write

__all__ = ["Handset", "Ledger", "Mode", "Outgoing", "Phone", "PhoneInHand", "Poll", "Report"]

ARRIVING = re.compile(r"(.*) from (\S+)", re.DOTALL)
TABLE_ROWS = 20
FLEET_TIMEOUT_SECONDS = 60.0
SPARE_FILES = 64


def arriving(text: str) -> tuple[str, str]:
    found = ARRIVING.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f'{text!r} is not like "hello from +12025550147"')
    return found[1], found[2]


def positive(text: str) -> float:
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def rate(text: str) -> float:
    return positive(text) if float(text) else 0.0


def count(text: str) -> int:
    return int(positive(str(int(text))))


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("url", help="as typed into the app; {n} becomes each phone's number")
    add("--devices", type=count, metavar="N", help="how many phones (1, or the credentials' lines)")
    add("--credentials", type=Path, metavar="FILE", help="a line device_id:password per phone")
    add("--mode", type=Mode, choices=list(Mode), default=Mode.OK, help="how the phone behaves")
    add("--receive", type=arriving, action="append", default=[], metavar='"TEXT from NUMBER"')
    add("--rate", type=rate, default=0.0, metavar="R", help="SMS arriving per minute and phone")
    add("--interval", type=positive, default=60.0, metavar="S", help="seconds between wake-ups")
    add("--speed", type=positive, default=1.0, metavar="F", help="shortens retries and reports")
    add("--polls", type=count, metavar="N", help="end after so many wake-ups of each phone")
    add("--seconds", type=positive, metavar="S", help="end after this time")
    add(
        "--timeout", type=positive, metavar="S", help="per request (none for one phone, as the app)"
    )
    add("--seed", type=int, metavar="N", help="makes faults and times repeatable")
    add("--json", action="store_true", help="print the summary as JSON")
    return parser.parse_args(arguments)


def urls(options: argparse.Namespace) -> list[str]:
    """Return one URL per phone. Raises `ValueError` if there are fewer credentials than phones."""
    if not options.credentials:
        return [options.url.replace("{n}", str(n + 1)) for n in range(options.devices or 1)]
    try:
        lines = options.credentials.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{options.credentials} cannot be read: {error}") from error
    users = [line.strip() for line in lines if line.strip()]
    if not users or len(users) < (options.devices or 1):
        raise ValueError(f"{options.credentials} has {len(users)} lines, too few")
    scheme, _, rest = options.url.partition("://")
    place = rest.rpartition("@")[2]
    return [f"{scheme}://{user}@{place}" for user in users[: options.devices]]


def built(options: argparse.Namespace, plan: Plan, tally: Tally, ledger: Ledger) -> list[Phone]:
    addresses = urls(options)
    more_files(len(addresses) * 2 + SPARE_FILES)
    alone = len(addresses) == 1
    return [
        Phone(
            url,
            options.mode,
            network=printing(options.mode) if alone and not options.json else None,
            ledger=ledger,
            rng=plan.rng(-number),
            speed=options.speed,
            timeout=options.timeout or (None if alone else FLEET_TIMEOUT_SECONDS),
            watch=printing_polls(tally) if alone and not options.json else tally.record,
            source=None if alone else own_address(url, number),
        )
        for number, url in enumerate(addresses, start=1)
    ]


def own_address(url: str, number: int) -> str | None:
    """Return the address that one of many phones uses if the server is on this machine: each has another one.

    From one address each poll uses up a port for a minute (TIME_WAIT), and the search for a free
    one slows all down long before there is none left."""
    if sys.platform != "linux" or typed_url(url).host != "127.0.0.1":
        return None
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}"


def printing(mode: Mode) -> Network:
    network = radio_off if mode is Mode.RADIO_OFF else good_network

    def print_sending(message: Outgoing) -> list[Report]:
        reports = network(message)
        does = "sends" if leaves(reports) else f"cannot send ({reports[0].reason})"
        say(f"{does} SMS to {message.to}: {json.dumps(message.content, ensure_ascii=False)}")
        return reports

    return print_sending


def printing_polls(tally: Tally) -> Any:
    def print_poll(poll: Poll) -> None:
        tally.record(poll)
        brought = f"{len(poll.batch.messages)} SMS and {len(poll.batch.updates)} updates"
        got = poll.error or f"answered, {poll.handed_out} messages received"
        say(f"poll with {brought}: {got}")

    return print_poll


def more_files(wanted: int) -> None:
    """Raise the limit of open files as far as it may be raised: there is one connection per phone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ValueError(f"{wanted} open files are needed and {hard} allowed (ulimit -n)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def lives(phones: list[Phone], plan: Plan) -> str:
    """Save the URL in the first phone's app, then run all phones; return why they cannot, if so."""
    this = asyncio.current_task()
    assert this is not None
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, this.cancel)
    refusal = f"no answer in {plan.seconds} s"
    with suppress(TimeoutError):
        async with asyncio.timeout(plan.seconds):
            if not (refusal := await phones[0].check()):
                gc.freeze()  # looking through thousands of phones for garbage would halt them all
                await run(phones, plan)
    return refusal and f"The phone cannot use {phones[0].target.url}: {refusal}"


def as_json(result: dict[str, Any]) -> str:
    """Return JSON in which DEL is escaped too: JSON allows it, and no terminal should receive it."""
    return json.dumps(result, indent=2).replace("\x7f", "\\u007f")


def as_text(result: dict[str, Any]) -> str:
    messages: dict[str, dict[str, Any]] = result["messages"]
    late = result["latency_ms"]
    lines = [f"{result['devices']} phone(s), {result['polls']} polls, {result['errors']} failed"]
    lines += [f"  {number} x {kind}" for kind, number in result["error_kinds"].items()]
    if result["polls"]:
        lines.append(
            f"answers took {late['p50']} ms (median) and {late['p99']} ms (99th percentile)"
        )
    lines.append(f"{result['received_forwarded']} received SMS forwarded")
    if unreported := result["unreported"]:
        lines.append(f"{unreported} message(s) unreported: no poll told the server their status")
    lines += table(messages) if len(messages) <= TABLE_ROWS else histogram(messages)
    if result["sent_twice"]:
        lines.append(f"SENT MORE THAN ONCE: {' '.join(result['sent_twice'])}")
    return "\n".join(map(safe, lines))


def table(messages: dict[str, dict[str, Any]]) -> list[str]:
    if not messages:
        return ["there was no SMS to send"]
    rows = [(id_, row["to"], row["sent"], row["last_status"]) for id_, row in messages.items()]
    return [f"{id_:36}  {to:16}  sent {sent} x  {status}" for id_, to, sent, status in rows]


def histogram(messages: dict[str, dict[str, Any]]) -> list[str]:
    times = Counter(row["sent"] for row in messages.values())
    lines = [f"{times[sent]} messages sent {sent} x" for sent in sorted(times)]
    odd = {id_: row for id_, row in messages.items() if row["sent"] != 1}
    return lines + (table(odd) if odd else [])


def main(arguments: list[str] | None = None) -> int:
    """0; 1 when an SMS was sent twice, 2 for what cannot work."""
    options = parsed_arguments(arguments)
    plan = Plan(
        options.interval,
        options.rate,
        tuple(options.receive),
        options.polls,
        options.seconds,
        options.seed,
    )
    phones: list[Phone] = []
    tally, ledger, refusal = Tally(), Ledger(), ""
    try:
        phones = built(options, plan, tally, ledger)
        refusal = asyncio.run(lives(phones, plan))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(file=sys.stderr)
    except (ValueError, OSError) as error:
        refusal = str(error)
    if refusal:
        print(safe(refusal), file=sys.stderr)
        return 2
    result = summary(phones, tally, ledger)
    write(as_json(result) if options.json else as_text(result))
    return 1 if result["sent_twice"] else 0


if __name__ == "__main__":
    sys.exit(main())
