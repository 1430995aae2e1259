"""`python -m bench.run [--quick | --full] [figure ...]`: measures, prints the table, writes `results/`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import kannel, machine, places, table
from .figures import (
    dashboard,
    enqueue,
    exchange,
    fleet,
    floors,
    growth,
    life,
    memory,
    peers,
    polls,
    slow,
    sockets,
    start,
    webhooks,
)
from .scope import Scope, Wrong
from .table import Figure

FIGURES: dict[str, Callable[[Scope], list[Figure]]] = {
    "polls": polls.measure,
    "exchange": exchange.measure,
    "enqueue": enqueue.measure,
    "floors": floors.measure,
    "webhooks": webhooks.measure,
    "life": life.measure,
    "fleet": fleet.measure,
    "memory": memory.measure,
    "sockets": sockets.measure,
    "slow": slow.measure,
    "start": start.measure,
    "growth": growth.measure,
    "dashboard": dashboard.measure,
    "peers": peers.measure,
}
# What explains other figures, and what needs programs that nothing else needs.
BY_NAME_ONLY = ("floors", "peers")
PEER_PROGRAMS = ("wrk", "strace", *kannel.PROGRAMS)


def main(arguments: list[str] | None = None) -> int:
    """0; 1 when the server did something wrong, 2 where nothing can be measured. A missed aim is only shown."""
    options = _parse(arguments)
    programs = PEER_PROGRAMS if "peers" in options.figures else ("wrk",)
    if missing := machine.missing(programs):
        print(missing, file=sys.stderr)
        return 2
    try:
        figures = _measure_all(options, machine.describe())
    except Wrong as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 1
    print("\n".join(table.lines(figures)))
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="one short round: correctness only")
    size.add_argument("--full", action="store_true", help="a million rows, 20,000 phones, an hour")
    options = parser.parse_args(arguments)
    for name in options.figures:
        if name not in FIGURES:
            parser.error(f"no figure {name!r}; there are {', '.join(FIGURES)}")
    return options


def _measure_all(options: argparse.Namespace, described: dict[str, Any]) -> list[Figure]:
    """Writes each figure when it is measured, so that a run that is broken off was not for nothing."""
    figures: list[Figure] = []
    for name in options.figures or [name for name in FIGURES if name not in BY_NAME_ONLY]:
        began = time.monotonic()
        print(f"{name} ...", end=" ", flush=True)
        measured = _measure(name, options)
        print(f"{time.monotonic() - began:.0f} s", flush=True)
        if not options.quick:
            table.write(name, described, measured)
        figures += measured
    return figures


def _measure(name: str, options: argparse.Namespace) -> list[Figure]:
    """One figure, with a folder and a PostgreSQL of its own: the last one's would still be vacuumed."""
    with (
        tempfile.TemporaryDirectory(prefix="smsgw-bench-") as folder,
        places.postgresql(Path(folder)) as postgresql_url,
    ):
        scope = Scope(Path(folder), postgresql_url, is_full=options.full)
        if options.quick:
            scope = replace(scope, rounds=1, wrk_rounds=1, is_quick=True)
        return FIGURES[name](scope)


if __name__ == "__main__":
    sys.exit(main())
