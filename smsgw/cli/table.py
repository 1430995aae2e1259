"""Messages in a CSV file: read with the row named where one is wrong, written as they are."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.drafts import Draft
from ..errors import Invalid
from . import moments

NEEDED = ("to", "content")
OPTIONAL = ("reference", "device_id", "send_at", "priority")
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """A row of the file: `number` counts what follows the header from 1, `line` is where it ends in the file."""

    number: int
    line: int
    draft: Draft

    def fault(self, text: str) -> Invalid:
        """What is wrong with it, as an error that names it."""
        return _fault(self.number, self.line, text)


def read(data: bytes) -> list[Row]:
    """The drafts of a whole file; `Invalid` names the first row or column that is wrong.

    UTF-8, with or without a byte order mark; commas, semicolons or tabs; quoted texts may hold line breaks.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("the file is not UTF-8; a spreadsheet saves it so as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        columns = _columns(next(reader, []))
        return list(_rows(reader, columns))
    except csv.Error as error:
        raise Invalid(f"line {reader.line_num}: {error}") from None


def write_header(file: Any, columns: list[str]) -> None:
    """Writes the first row."""
    csv.writer(file).writerow(columns)


def write_row(file: Any, row: Mapping[str, Any], columns: list[str]) -> None:
    """Writes a row; texts stay exactly as they are."""
    csv.writer(file).writerow([_cell(row.get(column)) for column in columns])


def _delimiter(text: str) -> str:
    header = text.split("\n", 1)[0]
    return max(_DELIMITERS, key=header.count)


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    for name in NEEDED:
        if name not in columns:
            raise Invalid(f"the first row names no column {name!r}; it names {', '.join(columns)}")
    for name in columns:
        if name not in NEEDED + OPTIONAL:
            known = ", ".join(NEEDED + OPTIONAL)
            raise Invalid(f"there is no column {name!r}; there are {known}")
        if columns.count(name) > 1:
            raise Invalid(f"the column {name!r} is there twice")
    return columns


def _rows(reader: Any, columns: list[str]) -> Iterator[Row]:
    number = 0
    for cells in reader:
        if not any(cells):
            continue
        number += 1
        if len(cells) != len(columns):
            text = f"has {len(cells)} columns, the first row {len(columns)}"
            raise _fault(number, reader.line_num, text)
        values = dict(zip(columns, cells, strict=True))
        yield Row(number, reader.line_num, _draft(values, number, reader.line_num))


def _draft(values: dict[str, str], number: int, line: int) -> Draft:
    def optional(name: str) -> str | None:
        return values.get(name, "").strip() or None

    priority, send_at = optional("priority"), optional("send_at")
    try:
        when = None if send_at is None else moments.parse(send_at)
    except ValueError:
        text = f"send_at: {send_at!r} is not like 2026-01-31T12:00:00Z"
        raise _fault(number, line, text) from None
    if priority is not None and not (priority.isascii() and priority.isdigit()):
        raise _fault(number, line, f"priority: {priority!r} is not a number from 0 to 9")
    return Draft(
        to=values["to"].strip(),
        content=values["content"],
        reference=optional("reference"),
        device_id=optional("device_id"),
        send_at=when,
        priority=4 if priority is None else int(priority),
    )


def _fault(number: int, line: int, text: str) -> Invalid:
    return Invalid(f"row {number}: {text} (line {line} of the file)")


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value
