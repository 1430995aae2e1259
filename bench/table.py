"""The figures of a run: rounds, medians, the table on the terminal and the JSON file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Aim:
    """What a ratio should be: at least, or at most."""

    limit: float
    is_upper: bool = False

    def is_met(self, ratio: float) -> bool:
        """Whether the ratio is on the right side."""
        return ratio <= self.limit if self.is_upper else ratio >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.is_upper else '≥'} {self.limit:g}"


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


def compared(
    name: str, unit: str, pairs: list[tuple[float, float]], aim: Aim | None = None
) -> Figure:
    """The medians of paired rounds of (value, reference), and the median of their ratios."""
    ratio = median(value / reference for value, reference in pairs)
    return Figure(
        name,
        round(median(value for value, _ in pairs), 3),
        unit,
        round(median(reference for _, reference in pairs), 3),
        round(ratio, 3),
        str(aim) if aim else None,
        aim.is_met(ratio) if aim else None,
    )


def shown(name: str, unit: str, value: float) -> Figure:
    """A value without a reference."""
    return Figure(name, round(value, 3), unit)


def write(path: Path, machine: dict[str, Any], figures: list[Figure]) -> None:
    """The machine-readable result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


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
        _number(figure.value),
        figure.unit,
        _number(figure.against),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        figure.aim or "",
        met,
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
