"""Reads and writes messages as CSV; reading reports all invalid rows."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from ...errors import Invalid
from ...local_times import NoZone, parse
from .drafts import Draft

NEEDED = ("to", "content")
OPTIONAL = ("reference", "device_id", "send_at", "priority")
_DELIMITERS = ",;\t|"
# A spreadsheet that saves such a file again adds a delimiter for each column.
_SEPARATOR_LINE = re.compile(rf'"?sep=([{_DELIMITERS}])"?[{_DELIMITERS} ]*', re.IGNORECASE)
_MARK = "\ufeff"
_LOST = "\ufffd"
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
_NOT_UTF8 = "the file is not UTF-8; in a spreadsheet, save it as 'CSV UTF-8'"
_WORKBOOK = "the file is a spreadsheet's own; save it there as 'CSV UTF-8'"
# How the files of Excel and LibreOffice begin, and those of old Excel.
_WORKBOOK_MARKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True, order=True)
class Place:
    """The place of a row: its number as in a spreadsheet, from 1 with the header, and the line on which it ends."""

    row: int
    line: int


@dataclass(frozen=True)
class Sheet:
    """The content of a file: the drafts with their places, and the errors of invalid rows."""

    drafts: Sequence[Draft]
    places: Sequence[Place]
    faults: Mapping[Place, str]


def read(data: bytes, zone: ZoneInfo | None = None) -> Sheet:
    """Read the whole file; raise `Invalid` if it cannot be read or has wrong columns.

    The encoding is UTF-8, or UTF-16 with a byte order mark. The delimiter is a comma, semicolon, tab or bar, given by a
    first line such as `sep=;` or by the header. Quoted texts may contain line breaks. Times without a zone are local
    times in `zone`.
    """
    reader = _reader(data)
    try:
        return _sheet(_places(reader), zone)
    except csv.Error as error:
        raise Invalid(f"line {reader.line_num}: {error}") from None


def table(data: bytes, most_rows: int) -> list[list[str]]:
    """Return the cells of all rows, from the header on, blank ones too; raise `Invalid` if there are too many rows."""
    reader = _reader(data)
    try:
        rows = list(islice(reader, most_rows + 2))
    except csv.Error as error:
        raise Invalid(f"line {reader.line_num}: {error}") from None
    if len(rows) > most_rows + 1:
        raise Invalid(f"the file has more than {most_rows:,} rows; split it")
    return rows


def of_table(rows: Sequence[Sequence[str]], zone: ZoneInfo | None) -> Sheet:
    """Return the sheet of the rows of a `table`."""
    found = (
        (Place(number, number), list(cells))
        for number, cells in enumerate(rows, 1)
        if any(cell.strip() for cell in cells)
    )
    return _sheet(found, zone)


def columns_of(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of the columns of a `table`; raise `Invalid` if some are missing, unknown or there twice."""
    header = next((cells for cells in rows if any(cell.strip() for cell in cells)), [])
    return _columns(header)


def write_header(file: Any, columns: list[str]) -> None:
    """Write the first row."""
    csv.writer(file).writerow(columns)


def write_row(file: Any, row: Mapping[str, Any], columns: list[str]) -> None:
    """Write a row; texts are written unchanged."""
    csv.writer(file).writerow([_cell(row.get(column)) for column in columns])


def _reader(data: bytes) -> Any:
    text, delimiter = _without_separator_line(_decoded(data))
    return csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True
    )


def _decoded(data: bytes) -> str:
    if data.startswith(_WORKBOOK_MARKS):
        raise Invalid(_WORKBOOK)
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(_NOT_UTF8) from None
    if "\0" in text[:1000]:
        raise Invalid(_NOT_UTF8)
    return text


def _without_separator_line(text: str) -> tuple[str, str | None]:
    """Return the text without a first line such as `sep=;`, which spreadsheets hide, and the delimiter in that line."""
    first, _, rest = text.partition("\n")
    found = _SEPARATOR_LINE.fullmatch(first.rstrip("\r"))
    return (rest.removeprefix(_MARK), found[1]) if found else (text, None)


def _delimiter(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=header.count)


def _places(reader: Any) -> Iterator[tuple[Place, list[str]]]:
    """Yield the rows that are not blank."""
    for row, cells in enumerate(reader, 1):
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield Place(row, reader.line_num), cells


def _sheet(rows: Iterator[tuple[Place, list[str]]], zone: ZoneInfo | None) -> Sheet:
    _, header = next(rows, (None, []))
    columns = _columns(header)
    drafts, places, faults = [], [], {}
    for place, cells in rows:
        try:
            drafts.append(_draft(_values(columns, cells), zone))
            places.append(place)
        except ValueError as error:
            faults[place] = str(error)
    return Sheet(drafts, places, faults)


def _columns(header: Sequence[str]) -> list[str]:
    """Return the names of the columns, without the empty ones that spreadsheets leave at the end."""
    columns = [
        "_".join(_INVISIBLE.sub("", name).lower().replace("-", " ").split()) for name in header
    ]
    while columns and not columns[-1]:
        columns.pop()
    for name in filter(None, columns):
        if name not in NEEDED + OPTIONAL:
            raise Invalid(
                f"unknown column {name!r}; the known ones are {', '.join(NEEDED + OPTIONAL)}"
            )
        if columns.count(name) > 1:
            raise Invalid(f"duplicate column {name!r}")
    for name in NEEDED:
        if name not in columns:
            what = f"the first row has {', '.join(columns)}" if columns else "the file is empty"
            raise Invalid(f"missing column {name!r}; {what}")
    return columns


def _values(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return the cells by column; spreadsheets may omit empty cells at the end of a row, or write too many."""
    if any(cell.strip() for cell in cells[len(columns) :]):
        raise ValueError(f"has {len(cells)} columns, but the first row has {len(columns)}")
    if any(cell.strip() for name, cell in zip(columns, cells, strict=False) if not name):
        raise ValueError("has a value in a column without a name")
    if _LOST in "".join(cells):
        raise ValueError("contains U+FFFD, which replaces a character that was lost")
    return dict(zip(columns, cells, strict=False))


def _draft(values: Mapping[str, str], zone: ZoneInfo | None) -> Draft:
    def optional(name: str) -> str | None:
        return values.get(name, "").strip() or None

    return Draft(
        to=values.get("to", "").strip(),
        content=_content(values.get("content", "")),
        reference=optional("reference"),
        device_id=optional("device_id"),
        send_at=_send_at(optional("send_at"), zone),
        priority=_priority(optional("priority")),
    )


def _content(cell: str) -> str:
    """Return the text as it stands there; a cell with spaces alone is empty."""
    return cell if cell.strip() else ""


def _send_at(text: str | None, zone: ZoneInfo | None) -> datetime | None:
    try:
        return None if text is None else parse(text, zone)
    except NoZone as error:
        raise ValueError(f"send_at: {text!r} {error} (or give --timezone)") from None
    except ValueError as error:
        raise ValueError(f"send_at: {text!r} {error}") from None


def _priority(text: str | None) -> int:
    if text is None:
        return Draft.priority
    if not (text.isascii() and text.isdigit() and len(text) < 3):
        raise ValueError(f"priority: {text!r} is not a number from 0 to 9")
    return int(text)


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value
