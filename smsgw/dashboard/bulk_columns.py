"""Serves `/admin/bulk/sheet/<id>/columns`: choosing the columns of a file without their names."""

import re
from typing import Any

from flask import redirect, url_for

from ..core.accounts.roles import CLERK
from ..core.messages import bulk_columns, bulk_sheets
from ..core.messages.bulk_columns import ColumnChoice
from ..http.context import services
from ..store.models import BulkSheet
from . import forms, rendering, visitors
from .blueprint import blueprint
from .guards import allows

# The contents of each column in words.
WORDS = {
    "": "Not used",
    "to": "Number",
    "content": "Text",
    "send_at": "Time to send at",
    "device_id": "Phone",
    "reference": "Reference",
    "priority": "Priority, 0 to 9",
}
_FIELD = re.compile(rf"(^|; )({'|'.join(filter(None, WORDS))}): ")
_EXAMPLES = 3


def show(sheet: BulkSheet) -> Any:
    """Return the page that asks for the columns of this file."""
    guess = bulk_columns.guess(sheet.rows, services().settings.default_region)
    return rendering.render(
        "bulk_columns.html",
        title="What is in the columns?",
        sheet=sheet,
        titles=bulk_columns.titles(sheet.rows),
        guess=guess,
        examples=bulk_columns.examples(sheet.rows, guess.has_titles, _EXAMPLES),
        options=WORDS.items(),
    )


def in_words(fault: str) -> str:
    """Return the fault of a row with the words for the columns instead of their names."""
    return _FIELD.sub(lambda found: f"{found[1]}{WORDS[found[2]]}: ", fault)


@blueprint.post("/bulk/sheet/<sheet_id>/columns")
@allows(CLERK)
def name_bulk_columns(sheet_id: str) -> Any:
    """Rewrite the rows with the chosen columns."""
    with services().database.transaction() as session:
        sheet = bulk_sheets.get(session, visitors.access(session).crms, sheet_id)
        count = len(bulk_columns.titles(sheet.rows))
        names = [forms.text(f"column-{place}") for place in range(count)]
        is_titled = forms.text("has_titles") == "yes"
        choice = ColumnChoice(names, is_titled, forms.lines("text").strip())
        bulk_sheets.name_columns(session, sheet, choice)
    return redirect(url_for("dashboard.bulk_sheet", sheet_id=sheet_id), 303)
