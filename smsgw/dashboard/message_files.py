"""Writes messages as CSV for spreadsheets, some hundred at a time."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from flask import Response, request, stream_with_context

from .. import logs
from ..core.accounts.roles import VIEWER
from ..core.messages import browsing
from ..core.messages import json as message_json
from ..http import masking
from ..http.context import services
from . import visitors
from .message_search import MessageSearch

MOST_ROWS = 50_000
COLUMNS = (
    "id",
    "direction",
    "status",
    "reason",
    "device_id",
    "from",
    "to",
    "content",
    "segments",
    "reference",
    "created_at",
    "sent_at",
    "delivered_at",
)
_AT_ONCE = 500
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Where decimals have a comma, spreadsheets expect a semicolon between cells.
_WITH_SEMICOLONS = re.compile(
    "bg|bs|ca|cs|da|de|el|es|et|fi|fr|gl|hr|hu|id|is|it|lt|lv|mk|nb|nl|nn|no|pl|pt|ro|ru|sk|sl|sq|sr|sv|tr|uk|vi"
)


def csv_response(search: MessageSearch) -> Response:
    """Return at most `MOST_ROWS` messages, newest first, as a file."""
    return response(_shapes(search))


def response(shapes: Iterator[dict[str, Any]]) -> Response:
    """Return these messages as a file, with the delimiter of spreadsheets in the language of the browser."""
    is_masked = visitors.person().role == VIEWER
    language = (request.accept_languages.best or "").partition("-")[0].lower()
    delimiter = ";" if _WITH_SEMICOLONS.fullmatch(language) else ","
    lines = stream_with_context(_lines(shapes, is_masked, delimiter))
    answer = Response(lines, mimetype="text/csv")
    answer.headers["Content-Disposition"] = 'attachment; filename="messages.csv"'
    return answer


def _lines(shapes: Iterator[dict[str, Any]], is_masked: bool, delimiter: str) -> Iterator[str]:
    # So that spreadsheets read it as UTF-8.
    yield "\ufeff" + _line(COLUMNS, delimiter)
    for shape in shapes:
        yield _line([_cell(name, shape[name], is_masked) for name in COLUMNS], delimiter)


def _shapes(search: MessageSearch) -> Iterator[dict[str, Any]]:
    cursor, count = None, 0
    while count < MOST_ROWS:
        with services().database.reading() as session:
            page = browsing.page(
                session, search.crm_ids, services().settings, search.filters, cursor, _AT_ONCE
            )
            shapes = [message_json.message(message) for message in page.messages]
        yield from shapes
        count, cursor = count + len(shapes), page.next_cursor
        if cursor is None:
            return


def _line(cells: Any, delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter).writerow(cells)
    return line.getvalue()


def _cell(name: str, value: Any, is_masked: bool) -> Any:
    if not isinstance(value, str):
        return value
    if is_masked:
        value = masking.number(value) if name in ("from", "to") else logs.redact(value)
    # A number in international format is safe; the name of a sender may be anything.
    is_formula = value.startswith(_FORMULA) and not value[1:].isdecimal()
    return f"'{value}" if is_formula else value
