"""Serves `/admin/bulk`: uploading files of messages, correcting their rows, and queueing them."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts.roles import CLERK
from ..core.messages import bulk_columns, bulk_sheets, bulks, csv_files
from ..core.messages.bulk_sheets import CheckedSheet
from ..core.messages.bulks import NewBulk
from ..core.messages.csv_files import Place
from ..core.messages.imports import File
from ..errors import Invalid
from ..http.context import services
from ..sms import numbers
from . import bulk_columns as bulk_column_page
from . import forms, message_search, navigation, rendering, send_form, visitors
from .blueprint import blueprint
from .guards import allows

navigation.add("Bulk", "bulk", role=CLERK, icon="upload", order=55)
forms.allow("upload_bulk", bulk_sheets.MOST_BYTES)
forms.allow("mend_rows", bulk_sheets.MOST_BYTES)

# How many wrong rows are shown at once.
SHOWN_ROWS = 50
# How many messages of the preview, and how many row numbers, are shown.
SHOWN_MESSAGES = 10
SHOWN_NUMBERS = 20
_LISTED = 20
_CELL = re.compile(r"cell-(\d{1,6})-(\d{1,2})")


@blueprint.get("/bulk")
@allows(CLERK)
def bulk() -> Any:
    """Show the form for a file, and what was queued last."""
    with services().database.reading() as session:
        crm_names = message_search.crm_names(session)
        return rendering.render(
            "bulk.html",
            title="Bulk",
            crm_names=crm_names,
            usual_crm=send_form.usual_crm(crm_names),
            bulks=bulks.newest(session, visitors.access(session).crms, _LISTED),
            most_rows=bulk_sheets.MOST_ROWS,
            columns=csv_files.NEEDED + csv_files.OPTIONAL,
        )


@blueprint.post("/bulk/upload")
@allows(CLERK)
def upload_bulk() -> Any:
    """Keep the file, and show it as a sheet."""
    sent = forms.file("file")
    if sent is None:
        raise Invalid.sentence("file", "Choose a file.")
    name, content = sent
    rows = csv_files.table(content, bulk_sheets.MOST_ROWS)
    with services().database.transaction() as session:
        crm = send_form.find_crm(session, forms.text("crm"))
        zone, person = send_form.zone(forms.text("zone")), visitors.person().name
        sheet_id = bulk_sheets.add(session, crm, name, person, zone, rows, clock.now())
        send_form.remember_crm(crm)
    return redirect(url_for("dashboard.bulk_sheet", sheet_id=sheet_id), 303)


@blueprint.get("/bulk/sheet/<sheet_id>")
@allows(CLERK)
def bulk_sheet(sheet_id: str) -> Any:
    """Show the wrong rows and a preview of the other messages; if necessary, ask for the columns first."""
    with services().database.reading() as session:
        sheet = bulk_sheets.get(session, visitors.access(session).crms, sheet_id)
        if bulk_sheets.is_begun(session, sheet):
            return redirect(url_for("dashboard.bulk_progress", bulk_id=sheet_id), 303)
        if not bulk_columns.are_known(sheet.rows):
            return bulk_column_page.show(sheet)
        checked = bulk_sheets.check(session, services().settings, sheet, clock.now())
        columns = csv_files.columns_of(sheet.rows)
        return rendering.render(
            "bulk_sheet.html",
            title="Check the file",
            state="wrong" if checked.faults else None,
            sheet=sheet,
            checked=checked,
            columns=columns,
            words=[bulk_column_page.WORDS[name] if name else "No title" for name in columns],
            first=_first_messages(checked),
            shown_numbers=SHOWN_NUMBERS,
            wrong=_wrong_rows(sheet.rows, checked.faults, len(columns)),
        )


@blueprint.post("/bulk/sheet/<sheet_id>/mend")
@allows(CLERK)
def mend_rows(sheet_id: str) -> Any:
    """Replace the rows that were corrected, and leave out those that were ticked."""
    with services().database.transaction() as session:
        sheet = bulk_sheets.get(session, visitors.access(session).crms, sheet_id)
        columns = csv_files.columns_of(sheet.rows)
        bulk_sheets.mend(session, sheet, _changes(len(columns)))
    flash("The rows are saved.")
    return redirect(url_for("dashboard.bulk_sheet", sheet_id=sheet_id), 303)


@blueprint.post("/bulk/sheet/<sheet_id>/leave-out")
@allows(CLERK)
def leave_out_repeats(sheet_id: str) -> Any:
    """Leave out the rows that would send a text a second time."""
    with services().database.transaction() as session:
        sheet = bulk_sheets.get(session, visitors.access(session).crms, sheet_id)
        checked = bulk_sheets.check(session, services().settings, sheet, clock.now())
        rows = {*checked.repeats, *checked.queued_before}
        bulk_sheets.mend(session, sheet, {row: [] for row in rows})
    flash("1 row is left out." if len(rows) == 1 else f"{len(rows):,} rows are left out.")
    return redirect(url_for("dashboard.bulk_sheet", sheet_id=sheet_id), 303)


@blueprint.post("/bulk/sheet/<sheet_id>/queue")
@allows(CLERK)
def queue_sheet(sheet_id: str) -> Any:
    """Queue all rows in steps; repeating the request continues where it stopped."""
    file = _begin(sheet_id)
    while file is not None:
        with services().database.transaction() as session:
            has_more = bulk_sheets.step(session, services().settings, sheet_id, file, clock.now())
        file = file if has_more else None
    return redirect(url_for("dashboard.bulk_progress", bulk_id=sheet_id), 303)


def _begin(sheet_id: str) -> File | None:
    """Begin to queue the sheet; return `None` if it is queued completely. Raises `Invalid` if rows are wrong."""
    settings, now = services().settings, clock.now()
    with services().database.reading() as session:
        crm_ids = visitors.access(session).crms
        if bulk_sheets.find(session, crm_ids, sheet_id) is None:
            bulks.get(session, crm_ids, sheet_id)
            return None
        sheet = bulk_sheets.get(session, crm_ids, sheet_id)
        if bulk_sheets.is_begun(session, sheet):
            return bulk_sheets.file_of(sheet)
        checked = bulk_sheets.check(session, settings, sheet, now)
        rows, crm_id, name = sheet.rows, sheet.crm_id, sheet.name
    count = len(checked.file.drafts)
    if checked.faults or not count:
        raise Invalid(
            f"{len(checked.faults):,} rows are wrong, so nothing was queued."
            if checked.faults
            else "There is no row to queue."
        )
    new = NewBulk(
        sheet_id, crm_id, name, visitors.person().name, checked.file.content_hash, count, 0, now
    )
    with services().database.transaction() as session:
        is_again = forms.text("again") == "yes"
        bulk_sheets.begin(session, settings, rows, checked.file, is_again, new)
    return checked.file


def _first_messages(checked: CheckedSheet) -> list[dict[str, Any]]:
    region = services().settings.default_region
    return [
        {
            "row": place.row,
            "to": numbers.normalise(draft.to, region),
            "content": draft.content,
            "send_at": draft.send_at,
        }
        for place, draft in islice(checked.good.items(), SHOWN_MESSAGES)
    ]


def _wrong_rows(
    rows: Sequence[Sequence[str]], faults: Mapping[Place, str], width: int
) -> list[dict[str, Any]]:
    """Return the first wrong rows with as many cells as there are columns."""
    return [
        {
            "number": place.row,
            "fault": bulk_column_page.in_words(text),
            "cells": [*rows[place.row - 1], *[""] * width][:width],
        }
        for place, text in islice(faults.items(), SHOWN_ROWS)
    ]


def _changes(width: int) -> Mapping[int, Sequence[str]]:
    found: dict[int, list[str]] = {}
    for name, value in forms.read().items():
        cell = _CELL.fullmatch(name)
        if cell is not None and int(cell[2]) < width:
            row = found.setdefault(int(cell[1]), [""] * width)
            row[int(cell[2])] = value.replace("\r\n", "\n")
    dropped = set(forms.texts("drop"))
    return {row: [] if str(row) in dropped else cells for row, cells in found.items()}
