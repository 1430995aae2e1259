"""Records which messages a person queued together, counts their statuses, and cancels the rest."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import NotFound
from ...sms import statuses
from ...store.inserts import Insert, InsertNew
from ...store.models import Bulk, BulkMessage, Crm, Import, Message
from ..devices import queue as device_queue
from . import endings

# A step holds SQLite's write lock for some 50 ms.
_CANCELLED_AT_ONCE = 500


class NewBulk(NamedTuple):
    """A bulk that begins, with none of its rows done."""

    id: str
    crm_id: str
    name: str
    queued_by: str
    content_hash: str | None
    row_count: int
    done_count: int
    created_at: datetime


class _BulkRow(NamedTuple):
    bulk_id: str
    position: int
    message_id: str


class Progress(NamedTuple):
    """The messages of a bulk by status, and the segments that wait for each device, `None` for any of them.

    `last_due_at` is when the last of those that wait may be sent.
    """

    counts: Counter[str]
    waiting_segments: Mapping[str | None, int]
    last_due_at: datetime | None

    @property
    def unfinished(self) -> int:
        """Return how many messages have not ended."""
        return sum(self.counts[status] for status in statuses.UNFINISHED)


_NEW_BULKS = InsertNew(Bulk, NewBulk, conflict_on=[Bulk.id], returning=Bulk.id)
_ROWS = Insert(BulkMessage, _BulkRow)


def begin(session: Session, bulk: NewBulk) -> bool:
    """Add the bulk; return whether it is new. Waits for another transaction that adds the same id."""
    return bool(_NEW_BULKS.new(session, [bulk]))


def add_rows(
    session: Session, bulk_id: str, first_position: int, message_ids: Sequence[str]
) -> None:
    """Note the messages of the next rows."""
    rows = [
        _BulkRow(bulk_id, position, message_id)
        for position, message_id in enumerate(message_ids, first_position)
    ]
    _ROWS.all(session, rows)


def get(session: Session, crm_ids: Collection[str] | None, bulk_id: str) -> Bulk:
    """Return the bulk if it is of one of these CRMs (`None` for all); `NotFound` otherwise."""
    bulk = session.get(Bulk, bulk_id)
    if bulk is None or not (crm_ids is None or bulk.crm_id in crm_ids):
        raise NotFound("These messages were not queued here, or are those of another CRM.")
    return bulk


def progress(session: Session, bulk: Bulk) -> Progress:
    """Count the messages of the bulk."""
    waits_for = sa.case((device_queue.IS_QUEUED, Message.device_id))
    rows = session.execute(
        sa.select(
            Message.status,
            waits_for,
            sa.func.count(),
            sa.func.sum(Message.segments),
            sa.func.max(Message.due_at),
        )
        .join(BulkMessage, BulkMessage.message_id == Message.id)
        .where(BulkMessage.bulk_id == bulk.id)
        .group_by(Message.status, waits_for)
    ).all()
    counts: Counter[str] = Counter()
    for status, _, count, _, _ in rows:
        counts[status] += count
    waiting = [row for row in rows if row[0] == statuses.QUEUED]
    segments = {device_id: int(total) for _, device_id, _, total, _ in waiting}
    return Progress(counts, segments, max((row[4] for row in waiting), default=None))


def crm_of(session: Session, bulk: Bulk) -> Crm:
    """Return the CRM that the bulk was queued for, even if it has been removed since."""
    return session.get_one(Crm, bulk.crm_id)


def messages(
    session: Session, bulk: Bulk, from_position: int, limit: int
) -> list[tuple[int, Message]]:
    """Return the messages of the bulk from this row on, with their rows, in the order of the rows."""
    statement = (
        sa.select(BulkMessage.position, Message)
        .join(Message, Message.id == BulkMessage.message_id)
        .where(BulkMessage.bulk_id == bulk.id, BulkMessage.position >= from_position)
        .order_by(BulkMessage.position)
        .limit(limit)
    )
    return [(position, message) for position, message in session.execute(statement)]


def end(session: Session, bulk_id: str, now: datetime) -> None:
    """Queue no further rows of this bulk; those that wait are cancelled by `cancel_step`."""
    bulk = session.get_one(Bulk, bulk_id, with_for_update=True)
    if bulk.cancelled_at is not None:
        return
    bulk.cancelled_at = now
    # So that the same file is not continued in the middle when it comes again.
    session.execute(
        sa.update(Import)
        .where(Import.crm_id == bulk.crm_id, Import.content_hash == bulk.content_hash)
        .values(done_count=Import.row_count)
    )


def cancel_step(session: Session, bulk_id: str, now: datetime) -> int:
    """Cancel the next messages of the bulk that no phone has, and return how many; 0 when there are no more."""
    waiting = (
        sa.select(Message)
        .join(BulkMessage, BulkMessage.message_id == Message.id)
        .where(BulkMessage.bulk_id == bulk_id, device_queue.IS_QUEUED)
        .order_by(Message.id)
        .limit(_CANCELLED_AT_ONCE)
        .with_for_update(of=Message)
    )
    found = list(session.scalars(waiting))
    endings.cancel_all(session, found, now)
    return len(found)


def newest(session: Session, crm_ids: Collection[str] | None, limit: int) -> list[Bulk]:
    """Return the bulks of these CRMs (`None` for all) that were queued last."""
    statement = sa.select(Bulk).order_by(Bulk.created_at.desc()).limit(limit)
    if crm_ids is not None:
        statement = statement.where(Bulk.crm_id.in_(crm_ids))
    return list(session.scalars(statement))


def empty_names(session: Session, limit: datetime) -> None:
    """Empty the names of old bulks: they are the beginning of a text, or the name of a file."""
    session.execute(
        sa.update(Bulk).where(Bulk.created_at <= limit, Bulk.name != "").values(name="")
    )
