"""`python -m bench.readme`: writes what the last runs measured into bench/README.md, between the two marks."""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from . import table
from .table import Figure

README = Path(__file__).parent / "README.md"
BEGIN = "<!-- measured: written by python -m bench.readme -->\n"
END = "<!-- end of what was measured -->\n"
KINDS = ("sqlite", "postgresql")
HEAD = "| Figure | Aim | SQLite | PostgreSQL |\n|---|---|---|---|\n"
# What the page shows, in this order; everything else is on the terminal only. Each name is without its database.
SHOWN = (
    "idle poll, fresh connections",
    "idle poll, fresh connections, processor",
    "idle poll, fresh TLS behind nginx",
    "idle poll",
    "enqueue one by one",
    "enqueue one by one, p99",
    "enqueue by 1,000",
    "exchange 10+20+10",
    "whole SMS, addressed",
    "whole SMS, open against addressed",
    "whole SMS, addressed, processor",
    "whole SMS, open, processor",
    "whole SMS, addressed, webhook waits, p99",
    "webhook deliveries per worker",
    "* phones, * SMS/s, p99",
    "a poll among 2,000 slow clients, p99",
    "5,000 idle sockets in one process, *",
    "memory, idle",
    "processor, idle",
    "cold start to the first 200",
    "smsgw --help, processor",
    "smsgw device list, processor",
    "* against Kannel*",
)


def main() -> None:
    """Replace the part of the page that is measured."""
    before, rest = README.read_text().split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}{markdown(table.read_all())}{END}{after}")


def markdown(runs: list[table.Run]) -> str:
    """The runs' machines and their figures, a row for both databases."""
    figures = [figure for run in runs for figure in run.figures]
    return f"\n{_described([run.machine for run in runs])}\n\n{HEAD}{''.join(_rows(figures))}\n"


def _described(machines: list[dict[str, Any]]) -> str:
    """When, on what, and beside how much other load; figures may be of several runs."""
    dates, commits, loads = (
        sorted({machine[name] for machine in machines})
        for name in ("date", "commit", "load_before")
    )
    last = machines[-1]
    return (
        f"Measured on {' and '.join(dates)} at {', '.join(commits)}, on {last['cores']} cores of "
        f"{last['processor']} with {last['memory_gib']} GiB, Python {last['python']}; the load "
        f"before was {' to '.join(map(str, dict.fromkeys((loads[0], loads[-1]))))}."
    )


def _rows(figures: list[Figure]) -> Iterator[str]:
    found: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        kind = next((kind for kind in KINDS if f", {kind}" in figure.name), KINDS[0])
        found.setdefault(figure.name.replace(f", {kind}", ""), {})[kind] = figure
    for pattern in SHOWN:
        for name, by_kind in found.items():
            if fnmatch(name, pattern):
                in_order = [by_kind.get(kind) for kind in KINDS]
                aims = dict.fromkeys(figure.aim for figure in in_order if figure and figure.aim)
                cells = [_cell(figure) if figure else "" for figure in in_order]
                yield f"| {name} | {', '.join(aims)} | {' | '.join(cells)} |\n"


def _cell(figure: Figure) -> str:
    against = "" if figure.against is None else f" : {table.number(figure.against)}"
    ratio = "" if figure.ratio is None else f", **{figure.ratio:.2f}**"
    missed = ", missed" if figure.met is False else ""
    return f"{table.number(figure.value)}{against} {figure.unit}{ratio}{missed}"


if __name__ == "__main__":
    main()
