"""Queues outbound messages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict, Invalid, NotFound
from ...settings import Settings
from ...sms import numbers, statuses
from ...store.db import Database
from ...store.inserts import Insert, InsertNew, RowBatch
from ...store.models import Message
from ...store.queries import Query
from ...store.rows import MESSAGE_COLUMNS, AnyCrm, Caller, MessageRow
from ...store.sessions import connection_of
from ...store.shared_inserts import Check
from ..devices import routing
from . import number_locks, queue_limits, recipients, sticky_senders
from .drafts import Draft, check, check_form, message_row, without_row
from .history import HistoryWriter

MAX_BATCH = 1000

_OF_REFERENCES = Query(
    MessageRow,
    sa.select(*MESSAGE_COLUMNS).where(
        Message.crm_id == sa.bindparam("crm_id", type_=sa.String),
        Message.reference.in_(sa.bindparam("references", expanding=True)),
    ),
)
_COLUMNS = (
    "id",
    "direction",
    "status",
    "crm_id",
    "device_id",
    "lane",
    "to_number",
    "content",
    "encoding",
    "segments",
    "text_hash",
    "reference",
    "request_hash",
    "metadata_",
    "priority",
    "send_at",
    "due_at",
    "expires_at",
    "created_at",
    "updated_at",
)
_MESSAGES = Insert(Message, MessageRow, *_COLUMNS)
_NEW_MESSAGES = InsertNew(
    Message,
    MessageRow,
    *_COLUMNS,
    conflict_on=[Message.crm_id, Message.reference],
    returning=Message.id,
)


@dataclass(frozen=True)
class Queued:
    """A draft's message; `is_new` is false where its `reference` had one already."""

    message: MessageRow
    is_new: bool


@dataclass(frozen=True)
class PreparedMessage:
    """A message that is queued as soon as its `batches` are inserted, with the `check` that goes with them."""

    message: MessageRow
    batches: Sequence[RowBatch]
    check: Check


def prepare(
    database: Database, crm: AnyCrm, settings: Settings, draft: Draft, now: datetime
) -> PreparedMessage:
    """Check a draft without a `reference` as `queue_one` does, and return its rows, to be inserted with others."""
    usable: set[str] = set()
    if draft.device_id is not None:
        with database.reading() as session:
            usable = routing.usable(session, crm, {draft.device_id})
    check_form(crm, settings, draft, usable, now)
    message = message_row(crm, settings, draft, now)
    if crm.sticky_sender:
        with database.reading() as session:
            sticky_senders.choose_lanes(session, crm, settings, [message], now)
    history = HistoryWriter(now)
    history.note(message, statuses.QUEUED)
    check = Check(recipients.refusals, (recipients.of_row(crm, message), now))
    return PreparedMessage(message, [_MESSAGES.batch([message]), history.batch()], check)


def may_prepare(crm: Caller, settings: Settings, draft: Draft) -> bool:
    """Return whether the draft can be prepared: it has no `reference`, and no limit has to be checked first."""
    is_limited = crm.refusal is not None or queue_limits.apply_to(crm, settings, draft.device_id)
    return draft.reference is None and not is_limited


def queue_one(
    session: Session, crm: AnyCrm, settings: Settings, draft: Draft, now: datetime
) -> Queued:
    """Queue one draft as `queue_all` does; what is wrong stands in `details[field]`."""
    try:
        (queued,) = queue_all(session, crm, settings, [draft], now)
    except Invalid as error:
        raise without_row(error) from None
    return queued


def queue_all(
    session: Session, crm: AnyCrm, settings: Settings, drafts: Sequence[Draft], now: datetime
) -> list[Queued]:
    """Queue all drafts or none, and return their messages in the same order.

    A `reference` this CRM has used before gives the message it made then, as it stands now; with another body it is
    a `Conflict`. Raises `TooMany` where a queue is full, and `Invalid` with `details["messages"][row][field]`, rows
    counted from 0.
    """
    wanted_numbers = [
        (crm.id, numbers.normalise(one.to, settings.default_region)) for one in drafts
    ]
    number_locks.take(connection_of(session), wanted_numbers)
    known = _of_references(session, crm, {draft.reference for draft in drafts})
    # A repeat is answered even if its time has passed or its device was removed since.
    fresh = {row: draft for row, draft in enumerate(drafts) if draft.reference not in known}
    if fresh and isinstance(crm, Caller) and crm.refusal is not None:
        raise crm.refusal
    new = check(session, crm, settings, fresh, now)
    device_ids = [draft.device_id for draft in fresh.values()]
    queue_limits.take_room(session, crm, settings, device_ids, now)
    wanted = [
        new.get(row) or message_row(crm, settings, draft, now) for row, draft in enumerate(drafts)
    ]
    sticky_senders.choose_lanes(session, crm, settings, new.values(), now)
    made = _insert(session, list(new.values()))
    known |= {message.reference: message for message in made.values()}
    # Another transaction has inserted these meanwhile.
    known |= _of_references(session, crm, {row.reference for row in wanted} - known.keys())
    result = [made.get(row.id) or known[row.reference] for row in wanted]
    _refuse_other_bodies(wanted, result)
    history = HistoryWriter(now)
    for message in made.values():
        history.note(message, statuses.QUEUED)
    history.write(session)
    return [Queued(message, message.id in made) for message in result]


def get(session: Session, crm: AnyCrm, message_id: str) -> Message:
    """Return the CRM's own outbound message, locked until the commit. Raises `NotFound` for all others."""
    message = session.scalars(
        sa.select(Message)
        .where(Message.id == message_id, Message.crm_id == crm.id, Message.direction == "outbound")
        .with_for_update()
    ).one_or_none()
    if message is None:
        raise NotFound(f"no outbound message {message_id[:80]!r}")
    return message


def _of_references(
    session: Session, crm: AnyCrm, references: Collection[str | None]
) -> dict[str | None, MessageRow]:
    wanted = [reference for reference in references if reference is not None]
    if not wanted:
        return {}
    found = _OF_REFERENCES.all(session, crm_id=crm.id, references=wanted)
    return {message.reference: message for message in found}


def _insert(session: Session, wanted: Sequence[MessageRow]) -> dict[str, MessageRow]:
    """Insert the messages whose `reference` is new, and return them by id."""
    # In one order everywhere, so that two batches with the same references wait for each other and do not deadlock.
    ordered = sorted(wanted, key=lambda row: row.reference or "")
    new_ids = set(_NEW_MESSAGES.new(session, ordered))
    # An inserted row is as it would be read back.
    return {row.id: row for row in wanted if row.id in new_ids}


def _refuse_other_bodies(wanted: Sequence[MessageRow], messages: Sequence[MessageRow]) -> None:
    others = [
        number
        for number, (row, message) in enumerate(zip(wanted, messages, strict=True))
        if message.request_hash != row.request_hash
    ]
    if others:
        reference = wanted[others[0]].reference
        raise Conflict(
            f"the reference {reference!r} was used before for another message",
            code="reference_used",
            details={"rows": others},
        )
