"""Imports files of messages: checks each as a whole, then queues it in steps, each file once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339
from ...errors import Conflict, Invalid
from ...settings import Settings
from ...store.inserts import InsertNew
from ...store.models import Import, Message
from ...store.rows import AnyCrm
from . import queue_limits, queueing, repeated_rows
from .drafts import Draft, check
from .queueing import Queued

# A step holds SQLite's write lock for some 50 ms.
STEP = 500
_KNOWN_AT_ONCE = 500


@dataclass(frozen=True)
class File:
    """A file's drafts and their hash: the same for the same messages, whatever the file looks like."""

    drafts: Sequence[Draft]
    content_hash: str

    @property
    def is_harmless_to_repeat(self) -> bool:
        """Return whether every message has a reference, by which a repeat is known."""
        return all(draft.reference is not None for draft in self.drafts)


class _Begun(NamedTuple):
    crm_id: str
    content_hash: str
    row_count: int
    done_count: int
    imported_at: datetime


_NEW_IMPORTS = InsertNew(
    Import,
    _Begun,
    conflict_on=[Import.crm_id, Import.content_hash],
    returning=Import.content_hash,
)


def file_of(drafts: Sequence[Draft]) -> File:
    """Return the file of these drafts."""
    digest = hashlib.sha256()
    for draft in drafts:
        digest.update(f"{draft.request_hash()} {draft.reference!r}\n".encode())
    return File(drafts, digest.hexdigest())


def faults(
    session: Session, crm: AnyCrm, settings: Settings, file: File, now: datetime
) -> dict[int, str]:
    """Return the fault of each draft that cannot be queued, by its place in the file."""
    known, found = _known_hashes(session, crm, file), {}
    fresh = {}
    for place, draft in enumerate(file.drafts):
        request_hash = draft.request_hash()
        if draft.reference is None or draft.reference not in known:
            fresh[place] = draft
        elif known[draft.reference] != request_hash:
            found[place] = f"reference: {draft.reference!r} was used before for another message"
        if draft.reference is not None:
            known.setdefault(draft.reference, request_hash)
    return found | _faults_of(session, crm, settings, fresh, now)


def begin(
    session: Session, crm: AnyCrm, settings: Settings, file: File, now: datetime, is_again: bool
) -> int:
    """Begin an import, and return how many rows an interrupted import of the same file has queued already.

    Unless `is_again`, raises `Conflict` for a file that was imported completely, except one that is harmless to repeat,
    and for a new file with rows that were queued in the last day.
    """
    row = _Begun(crm.id, file.content_hash, len(file.drafts), 0, now)
    if _NEW_IMPORTS.new(session, [row]):
        if not is_again:
            _refuse_queued_rows(session, crm, settings, file, now)
        return 0
    found = _lock(session, crm, file)
    if found.done_count < found.row_count:
        return found.done_count
    if not (is_again or file.is_harmless_to_repeat):
        raise Conflict(
            f"0 new, {found.row_count} already there: this file was imported at"
            f" {rfc3339(found.imported_at)}; tick that, or give --again, to queue it once more",
            code="imported_before",
        )
    found.done_count, found.imported_at = 0, now
    return 0


def check_room(
    session: Session, crm: AnyCrm, settings: Settings, file: File, done_count: int, now: datetime
) -> None:
    """Raise `TooMany` or `Invalid` where the queue has no room for what is left of the file.

    Each step takes its room itself; the room that is taken here is given back by the next count of the queue.
    """
    known = _known_hashes(session, crm, file)
    left = file.drafts[done_count:]
    wanted = [draft.device_id for draft in left if draft.reference not in known]
    queue_limits.take_room(session, crm, settings, wanted, now)


def step(
    session: Session, crm: AnyCrm, settings: Settings, file: File, done_count: int, now: datetime
) -> list[Queued]:
    """Queue the next rows after the first `done_count`, and return their messages."""
    found = _lock(session, crm, file)
    if found.done_count != done_count:
        raise Conflict("this file is being imported by another command", code="import_running")
    part = file.drafts[done_count : done_count + STEP]
    queued = queueing.queue_all(session, crm, settings, part, now)
    found.done_count += len(part)
    return queued


def _refuse_queued_rows(
    session: Session, crm: AnyCrm, settings: Settings, file: File, now: datetime
) -> None:
    """Raise `Conflict` if another file or a request has queued some rows already, as after a few were corrected."""
    count = len(repeated_rows.find(session, crm, settings, file.drafts, now).queued)
    if count:
        raise Conflict(
            f"{count} of {len(file.drafts)} rows were queued in the last 24 hours, the same text to the same number;"
            " leave them out, or tick that all are queued again, on the command line --again",
            code="queued_before",
        )


def _lock(session: Session, crm: AnyCrm, file: File) -> Import:
    return session.scalars(
        sa.select(Import)
        .where(Import.crm_id == crm.id, Import.content_hash == file.content_hash)
        .with_for_update()
    ).one()


def _known_hashes(session: Session, crm: AnyCrm, file: File) -> dict[str | None, str | None]:
    """Return the request hashes that are stored for the references of the file."""
    wanted = sorted({draft.reference for draft in file.drafts if draft.reference is not None})
    known: dict[str | None, str | None] = {}
    for start in range(0, len(wanted), _KNOWN_AT_ONCE):
        statement = sa.select(Message.reference, Message.request_hash).where(
            Message.crm_id == crm.id, Message.reference.in_(wanted[start : start + _KNOWN_AT_ONCE])
        )
        known |= {str(row.reference): row.request_hash for row in session.execute(statement)}
    return known


def _faults_of(
    session: Session, crm: AnyCrm, settings: Settings, fresh: Mapping[int, Draft], now: datetime
) -> dict[int, str]:
    try:
        check(session, crm, settings, fresh, now)
    except Invalid as error:
        return {
            place: "; ".join(f"{name}: {texts[0]}" for name, texts in fields.items())
            for place, fields in error.details["messages"].items()
        }
    return {}
