"""Lays out rows as a table that fits the terminal: ids stay whole, texts are shortened, the least columns left out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from . import cells

_GAP = "  "
_LEAST_TEXT = 16
# What may be shortened. All others are typed or compared, or are short.
_TEXTS = frozenset(
    {
        *("changes", "content", "detail", "devices", "disabled_reason", "error"),
        *("note", "reason", "response_text", "result", "silent", "url"),
    }
)
_PART_OF_AN_ID = re.compile(r"\b[a-z]{3}_[0-9a-f]*$")


def lines(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], least: Sequence[str], width: int
) -> list[str]:
    """Return a line of titles and a line for each row.

    Columns that are empty in all rows are left out, and where the rest does not fit, first those of `least`, in its
    order, and then others from the right.
    """
    shown = [name for name in columns if any(row.get(name) not in (None, [], "") for row in rows)]
    texts = {name: [cells.short(name, row.get(name)) for row in rows] for name in shown}
    for name in [*least, *reversed(columns[1:])]:
        if len(shown) > 1 and _least_width(texts) > width:
            shown = [one for one in shown if one != name]
            texts = {one: texts[one] for one in shown}
    widths = _widths(texts, width)
    titles = _line({name: cells.title(name) for name in shown}, widths)
    found = [
        _line({name: texts[name][number] for name in shown}, widths) for number in range(len(rows))
    ]
    return [titles, *found]


def shortened(text: str, width: int) -> str:
    """Return the beginning of the text that fits into so many columns, with `…` where something is missing.

    No id is shown in part.
    """
    if cell_len(text) <= width:
        return text
    return f"{_PART_OF_AN_ID.sub('', set_cell_size(text, max(width - 1, 0))).rstrip()}…"


def wrapped(text: str, start: str, width: int) -> list[str]:
    """Return the text behind `start` in lines of at most so many columns; a longer word has a line of its own."""
    lines, indent = [start], " " * cell_len(start)
    for word in text.split():
        is_first = lines[-1] in (start, indent)
        line = f"{lines[-1]}{'' if is_first else ' '}{word}"
        if cell_len(line) <= width or is_first:
            lines[-1] = line
        else:
            lines.append(f"{indent}{word}")
    return lines


def _line(texts: Mapping[str, str], widths: Mapping[str, int]) -> str:
    parts = [_padded(shortened(text, widths[name]), widths[name]) for name, text in texts.items()]
    return _GAP.join(parts).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _widths(texts: Mapping[str, Sequence[str]], width: int) -> dict[str, int]:
    """Return the width of each column; the widest texts give first where they do not fit."""
    widths = {name: _natural(name, found) for name, found in texts.items()}
    excess = sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width
    while excess > 0:
        wide = [name for name in widths if widths[name] > _least(name, texts[name])]
        if not wide:
            break
        widest = max(wide, key=widths.__getitem__)
        widths[widest] -= 1
        excess -= 1
    return widths


def _least_width(texts: Mapping[str, Sequence[str]]) -> int:
    return sum(_least(name, found) for name, found in texts.items()) + len(_GAP) * (len(texts) - 1)


def _natural(name: str, found: Sequence[str]) -> int:
    return max(map(cell_len, [cells.title(name), *found]))


def _least(name: str, found: Sequence[str]) -> int:
    natural = _natural(name, found)
    return min(natural, _LEAST_TEXT) if name in _TEXTS else natural
