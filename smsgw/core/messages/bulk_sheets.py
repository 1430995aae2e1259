"""Keeps uploaded files for a day while people correct them, and queues their rows in steps, each once."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict, Invalid, NotFound
from ...settings import Settings
from ...sms.segments import measure
from ...store.models import Bulk, BulkSheet, Crm
from . import bulk_columns, bulks, csv_files, imports, pace, pausing, repeated_rows
from .ahead import Ahead
from .bulk_columns import ColumnChoice
from .bulks import NewBulk
from .csv_files import Place
from .drafts import Draft
from .imports import File
from .pace import SendingDevice

MOST_BYTES = 4 * 1024 * 1024
MOST_ROWS = 10_000
_KEPT_FOR = timedelta(days=1)
_LONGEST_NAME = 100


@dataclass(frozen=True)
class CheckedSheet:
    """A file's messages as they would be, and what is wrong with the other rows, in their order.

    Of a file without faults, `repeats` are the numbers of rows that say the same as an earlier row to the same number,
    and `queued_before` those of rows that were queued in the last 24 hours.
    """

    crm_name: str
    file: File
    faults: Mapping[Place, str]
    good: Mapping[Place, Draft]
    repeats: Sequence[int]
    queued_before: Sequence[int]
    segments: int
    devices: Sequence[SendingDevice]
    done_at: datetime | None
    others: Ahead


def add(
    session: Session,
    crm: Crm,
    name: str,
    person: str,
    zone: ZoneInfo,
    rows: list[list[str]],
    now: datetime,
) -> str:
    """Keep the file and return its id; remove those that nobody queued within a day.

    Raises `Invalid` for an empty file.
    """
    bulk_columns.titles(rows)
    forget(session, now)
    sheet_id = f"blk_{secrets.token_hex(16)}"
    session.add(
        BulkSheet(
            id=sheet_id,
            crm_id=crm.id,
            name="".join(filter(str.isprintable, name))[:_LONGEST_NAME],
            uploaded_by=person,
            zone=zone.key,
            rows=rows,
            created_at=now,
        )
    )
    return sheet_id


def get(session: Session, crm_ids: Collection[str] | None, sheet_id: str) -> BulkSheet:
    """Return the file if it is for one of these CRMs (`None` for all); `NotFound` otherwise."""
    sheet = find(session, crm_ids, sheet_id)
    if sheet is None:
        raise NotFound("There is no such upload; it is kept for a day. Upload the file again.")
    return sheet


def find(session: Session, crm_ids: Collection[str] | None, sheet_id: str) -> BulkSheet | None:
    """Return the file if it is there and for one of these CRMs."""
    sheet = session.get(BulkSheet, sheet_id)
    return sheet if sheet is not None and (crm_ids is None or sheet.crm_id in crm_ids) else None


def file_of(sheet: BulkSheet) -> File:
    """Return the messages of the rows that can be read."""
    return imports.file_of(csv_files.of_table(sheet.rows, ZoneInfo(sheet.zone)).drafts)


def check(session: Session, settings: Settings, sheet: BulkSheet, now: datetime) -> CheckedSheet:
    """Check all rows, as queueing them would."""
    crm = session.get_one(Crm, sheet.crm_id)
    read = csv_files.of_table(sheet.rows, ZoneInfo(sheet.zone))
    file = imports.file_of(read.drafts)
    found = imports.faults(session, crm, settings, file, now)
    faults = {**read.faults, **{read.places[place]: text for place, text in found.items()}}
    good = {
        read.places[place]: draft for place, draft in enumerate(file.drafts) if place not in found
    }
    repeated = (
        repeated_rows.NONE
        if faults
        else repeated_rows.find(session, crm, settings, file.drafts, now)
    )
    waiting: dict[str | None, int] = {}
    for draft in good.values():
        count = measure(draft.content).segments
        waiting[draft.device_id] = waiting.get(draft.device_id, 0) + count
    sending = pace.devices(session, crm, settings, None, now)
    others = pace.find_ahead(session, sending)
    at = pace.all_done_at(sending, waiting, others, now)
    last = max((draft.send_at for draft in good.values() if draft.send_at), default=now)
    return CheckedSheet(
        crm.name,
        file,
        dict(sorted(faults.items())),
        good,
        [read.places[place].row for place in repeated.in_file],
        [read.places[place].row for place in repeated.queued],
        sum(waiting.values()),
        sending,
        None if at is None else max(at, last),
        others,
    )


def is_begun(session: Session, sheet: BulkSheet) -> bool:
    """Return whether queueing the rows has begun, even if it was interrupted."""
    return session.get(Bulk, sheet.id) is not None


def name_columns(session: Session, sheet: BulkSheet, choice: ColumnChoice) -> None:
    """Rewrite the rows with the chosen columns. Raises `Invalid`, and `Conflict` if the columns were chosen before."""
    session.refresh(sheet, with_for_update=True)
    if bulk_columns.are_known(sheet.rows):
        raise Conflict("The columns were chosen already. Upload the file again to choose others.")
    sheet.rows = bulk_columns.write(sheet.rows, choice)


def mend(session: Session, sheet: BulkSheet, changes: Mapping[int, Sequence[str]]) -> None:
    """Replace the rows with these numbers, counted as in a spreadsheet; a row without cells is left out."""
    session.refresh(sheet, with_for_update=True)
    if is_begun(session, sheet):
        raise Conflict("These rows are being queued already.", code="import_running")
    rows = [list(cells) for cells in sheet.rows]
    for number, cells in changes.items():
        if not 1 < number <= len(rows):
            raise Invalid(f"There is no row {number}.")
        rows[number - 1] = list(cells)
    sheet.rows = rows


def begin(
    session: Session,
    settings: Settings,
    rows: Sequence[Sequence[str]],
    file: File,
    is_again: bool,
    new: NewBulk,
) -> None:
    """Begin to queue the file of these rows as this bulk; does nothing where that has begun already.

    Raises `Conflict` where the rows were changed meanwhile, and what `imports.begin` and `imports.check_room` raise.
    """
    locked = session.get(BulkSheet, new.id, with_for_update=True)
    if not bulks.begin(session, new):
        return
    if locked is None or locked.rows != rows:
        raise Conflict("Somebody changed the rows meanwhile. Look at them again.")
    crm = session.get_one(Crm, new.crm_id)
    done_count = imports.begin(session, crm, settings, file, new.created_at, is_again)
    imports.check_room(session, crm, settings, file, done_count, new.created_at)
    session.get_one(Bulk, new.id).done_count = done_count


def step(session: Session, settings: Settings, bulk_id: str, file: File, now: datetime) -> bool:
    """Queue the next rows; return whether there are more. Simultaneous calls run one after the other."""
    bulk = session.get_one(Bulk, bulk_id, with_for_update=True)
    if bulk.done_count < bulk.row_count and bulk.cancelled_at is None:
        crm = session.get_one(Crm, bulk.crm_id)
        queued = imports.step(session, crm, settings, file, bulk.done_count, now)
        message_ids = [one.message.id for one in queued]
        bulks.add_rows(session, bulk_id, bulk.done_count, message_ids)
        if bulk.paused_at is not None:
            pausing.pause_messages(session, message_ids, now)
        bulk.done_count += len(queued)
    is_done = bulk.done_count >= bulk.row_count or bulk.cancelled_at is not None
    if is_done:
        session.execute(sa.delete(BulkSheet).where(BulkSheet.id == bulk_id))
    return not is_done


def forget(session: Session, now: datetime) -> None:
    """Remove the files that nobody queued within a day."""
    session.execute(sa.delete(BulkSheet).where(BulkSheet.created_at < now - _KEPT_FOR))
