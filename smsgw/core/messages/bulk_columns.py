"""Guesses what the columns of an uploaded file are, and rewrites its rows with the columns of messages."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import Invalid
from ...sms import numbers
from . import csv_files

NAMES = csv_files.NEEDED + csv_files.OPTIONAL
MOST_COLUMNS = 50
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_EXAMPLE_ROWS = 20

Rows = Sequence[Sequence[str]]


class ColumnChoice(NamedTuple):
    """The name of each column, chosen by a person and empty where it is not used, and a text for all rows.

    In the text, `{Name}` is what stands in the column with this title; without titles columns are counted from 1.
    """

    names: Sequence[str]
    has_titles: bool
    text: str


def are_known(rows: Rows) -> bool:
    """Return whether the first row has the column names of messages, and no others."""
    try:
        csv_files.columns_of(rows)
    except Invalid:
        return False
    return True


def titles(rows: Rows) -> list[str]:
    """Return the cells of the first row that is not blank; `Invalid` if there is none, or it is too wide."""
    found = [cell.strip() for cell in next(filter(_is_filled, rows), [])]
    while found and not found[-1]:
        found.pop()
    if not found:
        raise Invalid("The file is empty.")
    if len(found) > MOST_COLUMNS:
        raise Invalid(f"The file has more than {MOST_COLUMNS} columns.")
    return found


def guess(rows: Rows, region: str | None) -> ColumnChoice:
    """Guess the columns by their titles, and the recipients by the phone numbers in a column."""
    first, *more = list(filter(_is_filled, rows))[:_EXAMPLE_ROWS]
    names = [title.lower() if title.lower() in NAMES else "" for title in titles(rows)]
    has_titles = not any(_is_number(cell, region) for cell in first)
    examples = more if has_titles else [first, *more]
    if "to" not in names:
        counts = [
            sum(_is_number(cell, region) for cell in _column(examples, place))
            for place in range(len(names))
        ]
        if any(counts):
            names[counts.index(max(counts))] = "to"
    return ColumnChoice(names, has_titles, "")


def examples(rows: Rows, has_titles: bool, count: int) -> list[list[str]]:
    """Return the first cells of each column."""
    filled = list(filter(_is_filled, rows))[has_titles : has_titles + count]
    return [_column(filled, place) for place in range(len(titles(rows)))]


def write(rows: Rows, choice: ColumnChoice) -> list[list[str]]:
    """Return the rows with the chosen columns, after a row with their names.

    Cells beyond the last column are kept, so that the row is refused when it is read: an unquoted text contained the
    delimiter.
    """
    _check(choice)
    words = titles(rows)
    place_of = {
        (word if choice.has_titles else str(place + 1)).casefold(): place
        for place, word in reversed(list(enumerate(words)))
    }
    _check_placeholders(choice.text, place_of)
    used = [place for place, name in enumerate(choice.names) if name]
    header = [*filter(None, choice.names), *(["content"] if choice.text else [])]
    written = []
    for cells in _rows_of_messages(rows, choice.has_titles):
        padded = [*cells, *[""] * (len(words) - len(cells))]
        text = [_filled_in(choice.text, padded, place_of)] if choice.text else []
        row = [*(padded[place] for place in used), *text, *padded[len(words) :]]
        written.append(row if _is_filled(cells) else [])
    return [header, *written]


def _check(choice: ColumnChoice) -> None:
    chosen = [name for name in choice.names if name]
    if "to" not in chosen:
        raise Invalid.sentence("text", "Choose the column with the numbers.")
    if bool(choice.text.strip()) == ("content" in chosen):
        raise Invalid.sentence(
            "text", "Choose the column with the texts, or type one text for all: one of both."
        )
    for name in chosen:
        if name not in NAMES or chosen.count(name) > 1:
            raise Invalid.sentence("text", f"Choose one column alone for {name!r}.")


def _check_placeholders(text: str, place_of: dict[str, int]) -> None:
    for word in _PLACEHOLDER.findall(text):
        if word.strip().casefold() not in place_of:
            raise Invalid.sentence("text", f"There is no column {word!r} in the file.")


def _rows_of_messages(rows: Rows, has_titles: bool) -> Rows:
    first = next(place for place, cells in enumerate(rows) if _is_filled(cells))
    return rows[first + has_titles :]


def _filled_in(text: str, cells: Sequence[str], place_of: dict[str, int]) -> str:
    """Return the text with the cells in it; empty if any of them is empty, so that the row is shown as wrong."""
    wanted = {
        word: cells[place_of[word.strip().casefold()]].strip()
        for word in _PLACEHOLDER.findall(text)
    }
    if not all(wanted.values()):
        return ""
    return _PLACEHOLDER.sub(lambda found: wanted[found[1]], text)


def _column(rows: Rows, place: int) -> list[str]:
    return [cells[place] if place < len(cells) else "" for cells in rows]


def _is_filled(cells: Sequence[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _is_number(cell: str, region: str | None) -> bool:
    return numbers.refusal(cell, region) is None and numbers.is_subscriber(
        numbers.normalise(cell, region)
    )
