"""The figures of a run: rounds, medians, the table on the terminal and the JSON files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Aim:
    """What a ratio, or with a unit the value itself, should be: at least, or at most."""

    limit: float
    is_upper: bool = False
    unit: str = ""

    def is_met(self, number: float) -> bool:
        """Whether the ratio or the value is on the right side."""
        return number <= self.limit if self.is_upper else number >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.is_upper else '≥'} {self.limit:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Figure:
    """One line of the table. `against` is the reference's own value, `None` where a value stands alone."""

    name: str
    value: float
    unit: str
    against: float | None = None
    ratio: float | None = None
    aim: str | None = None
    met: bool | None = None


@dataclass(frozen=True)
class Run:
    """What a run measured on a machine."""

    machine: dict[str, Any]
    figures: list[Figure]


def compared(
    name: str, unit: str, pairs: list[tuple[float, float]], aim: Aim | None = None
) -> Figure:
    """The medians of paired rounds of (value, reference), and the median of their ratios."""
    value = median(value for value, _ in pairs)
    ratio = median(value / reference for value, reference in pairs)
    return Figure(
        name,
        round(value, 3),
        unit,
        round(median(reference for _, reference in pairs), 3),
        round(ratio, 3),
        str(aim) if aim else None,
        aim.is_met(value if aim.unit else ratio) if aim else None,
    )


def shown(name: str, unit: str, value: float, aim: Aim | None = None) -> Figure:
    """A value without a reference."""
    met = aim.is_met(value) if aim else None
    return Figure(name, round(value, 3), unit, aim=str(aim) if aim else None, met=met)


def write(name: str, machine: dict[str, Any], figures: list[Figure]) -> None:
    """Keeps what the last run of these figures measured, and where."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "figures": [asdict(figure) for figure in figures]}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_all() -> list[Run]:
    """What the last run of each figure measured; runs of one machine and commit are one."""
    runs: dict[str, Run] = {}
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text())
        machine = content["machine"]
        run = runs.setdefault(json.dumps(machine), Run(machine, []))
        run.figures.extend(Figure(**figure) for figure in content["figures"])
    return list(runs.values())


def lines(figures: list[Figure]) -> list[str]:
    """The table, a line per figure."""
    rows: list[tuple[str, ...]] = [("figure", "value", "unit", "against", "ratio", "aim", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if column in (0, 2) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(figure: Figure) -> tuple[str, ...]:
    met = {True: "met", False: "NOT MET", None: ""}[figure.met]
    return (
        figure.name,
        number(figure.value),
        figure.unit,
        number(figure.against),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        figure.aim or "",
        met,
    )


def number(value: float | None) -> str:
    """Three digits at least, two of them after the point where there is little before it."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
