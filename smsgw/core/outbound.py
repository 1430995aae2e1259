"""Outbound messages: queueing, cancelling, sending again, expiring. Handing out is `handout`, reports are `reports`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..errors import Conflict, IllegalTransition, Invalid, NotFound
from ..settings import Settings
from ..store.db import Database, Table, insert, insert_new
from ..store.models import Crm, Dispatch, HistoryEntry, Message
from . import routing, rows
from .drafts import Draft, check, message_row, refuse_one, without_row
from .journal import Journal
from .rows import AnyCrm

MAX_BATCH = 1000
_EXPIRE_AT_ONCE = 500
_FINAL_RESENDABLE = ("failed", "expired")


@dataclass(frozen=True)
class Taken:
    """A draft's message; `is_new` is false where its `reference` had one already."""

    message: rows.Row
    is_new: bool


@dataclass(frozen=True)
class New:
    """A message that is queued as soon as its `rows` are inserted."""

    message: rows.Row
    rows: Mapping[type[Table], Sequence[dict[str, Any]]]


def draw_up(
    database: Database, crm: AnyCrm, settings: Settings, draft: Draft, now: datetime
) -> New:
    """Checks a draft without a `reference` as `take_one` does, and writes nothing: its rows can go in with others'."""
    usable: set[str] = set()
    if draft.device_id is not None:
        with database.reading() as session:
            usable = routing.usable(session, crm, {draft.device_id})
    refuse_one(crm, settings, draft, usable, now)
    row = message_row(crm, settings, draft, now)
    message = _made(row)
    journal = Journal(now)
    journal.note(message, "queued")
    return New(message, {Message: [row], HistoryEntry: journal.entries})


def queue(
    session: Session, crm: AnyCrm, settings: Settings, drafts: Sequence[Draft], now: datetime
) -> list[rows.Row]:
    """What `take` does, for callers who need not know which messages are new."""
    return [taken.message for taken in take(session, crm, settings, drafts, now)]


def take_one(
    session: Session, crm: AnyCrm, settings: Settings, draft: Draft, now: datetime
) -> Taken:
    """Queues one draft as `take` does; what is wrong stands in `details[field]`."""
    try:
        (taken,) = take(session, crm, settings, [draft], now)
    except Invalid as error:
        raise without_row(error) from None
    return taken


def take(
    session: Session, crm: AnyCrm, settings: Settings, drafts: Sequence[Draft], now: datetime
) -> list[Taken]:
    """Queues all drafts or none, and returns their messages in the same order.

    A `reference` this CRM has used before gives the message it made then, as it stands now; with another body it is
    a `Conflict`. Raises `Invalid` with `details["messages"][row][field]`, rows counted from 0.
    """
    known = _of_references(session, crm, {draft.reference for draft in drafts})
    # A repeat is answered as it was, also when its time or its device is gone by now.
    fresh = {row: draft for row, draft in enumerate(drafts) if draft.reference not in known}
    check(session, crm, settings, fresh, now)
    wanted = [message_row(crm, settings, draft, now) for draft in drafts]
    made = _insert(session, [wanted[row] for row in fresh])
    known |= {message.reference: message for message in made.values()}
    # Another transaction was quicker with these.
    known |= _of_references(session, crm, {row["reference"] for row in wanted} - known.keys())
    result = [made.get(row["id"]) or known[row["reference"]] for row in wanted]
    _refuse_other_bodies(wanted, result)
    journal = Journal(now)
    for message in made.values():
        journal.note(message, "queued")
    journal.write(session)
    return [Taken(message, message.id in made) for message in result]


def cancel(session: Session, message: Message, now: datetime) -> None:
    """Cancels a message no phone has; `IllegalTransition` once one has it or it has ended."""
    if message.direction != "outbound" or message.status != "queued":
        raise IllegalTransition(
            f"the message is {message.status}; only a queued one can be cancelled",
            details={"status": message.status},
        )
    _end(session, [message], "cancelled", now)


def cancel_queued(
    session: Session, crm: Crm, now: datetime, *which: sa.ColumnElement[bool]
) -> None:
    """Cancels all that this CRM has in the queue, or of that only what these conditions name."""
    queued = sa.select(Message).where(
        Message.crm_id == crm.id, Message.status == sa.literal_column("'queued'"), *which
    )
    messages = session.scalars(queued.order_by(Message.id).with_for_update())
    _end(session, list(messages), "cancelled", now)


def resend(session: Session, message: Message, settings: Settings, now: datetime) -> None:
    """Queues a message that failed or expired once more, or raises `IllegalTransition`.

    One the phone may have sent all the same (unconfirmed, stuck) needs `resend_anyway`: it may arrive twice.
    """
    if message.stuck_at is not None or message.reason_class == "unconfirmed":
        raise IllegalTransition(
            'the phone may have sent this message; say {"may_duplicate": true} to send it all the same',
            code="may_duplicate",
            details={"status": message.status, "reason_class": message.reason_class},
        )
    resend_anyway(session, message, settings, now)


def resend_anyway(session: Session, message: Message, settings: Settings, now: datetime) -> None:
    """The same, also where the SMS may then arrive twice."""
    is_resendable = message.stuck_at is not None or message.status in _FINAL_RESENDABLE
    if message.direction != "outbound" or not is_resendable:
        raise IllegalTransition(
            f"the message is {message.status}; only a failed, expired or stuck one can be sent again",
            details={"status": message.status},
        )
    if message.content is None:
        raise IllegalTransition("the message's content was removed after the retention time")
    _check_device(session, message)
    session.execute(
        sa.update(Dispatch)
        .where(Dispatch.message_id == message.id, Dispatch.superseded_at.is_(None))
        .values(superseded_at=now)
    )
    _requeue(message, settings, now)
    journal = Journal(now)
    journal.note(message, "queued")
    journal.write(session)


def expire_due(session: Session, now: datetime) -> int:
    """Ends queued messages whose time has passed, some hundred at a time; returns how many."""
    overdue = (
        sa.select(Message)
        .where(Message.status == sa.literal_column("'queued'"), Message.expires_at <= now)
        .order_by(Message.expires_at)
        .limit(_EXPIRE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    messages = list(session.scalars(overdue))
    _end(session, messages, "expired", now)
    return len(messages)


def get(session: Session, crm: AnyCrm, message_id: str) -> Message:
    """The CRM's own outbound message, locked until the commit; `NotFound` for all others."""
    message = session.scalars(
        sa.select(Message)
        .where(Message.id == message_id, Message.crm_id == crm.id, Message.direction == "outbound")
        .with_for_update()
    ).one_or_none()
    if message is None:
        raise NotFound(f"no outbound message {message_id[:80]!r}")
    return message


def _end(session: Session, messages: Sequence[Message], status: str, now: datetime) -> None:
    journal = Journal(now)
    for message in messages:
        message.status = status
        message.updated_at = now
        journal.note(message, status)
        journal.tell(f"message.{status}", message, [message.crm_id or ""])
    journal.write(session)


def _check_device(session: Session, message: Message) -> None:
    lane = message.lane or ""
    crm = session.get_one(Crm, message.crm_id)
    if lane.startswith("d:") and not routing.may_use(session, crm, lane[2:]):
        raise IllegalTransition(
            f"the message is for the device {lane[2:]!r} alone, which this CRM may not use any more",
            code="unknown_device",
        )


def _requeue(message: Message, settings: Settings, now: datetime) -> None:
    lifetime = timedelta(seconds=settings.default_ttl_seconds)
    if message.expires_at is not None and message.due_at is not None:
        lifetime = message.expires_at - message.due_at
    message.status = "queued"
    message.reason = message.reason_class = message.stuck_at = None
    message.due_at = message.updated_at = now
    message.expires_at = now + lifetime
    if message.lane is not None and message.lane.startswith("c:"):
        message.device_id = message.from_number = None


_OF_REFERENCES = sa.select(*rows.MESSAGE_COLUMNS).where(
    Message.crm_id == sa.bindparam("crm_id", type_=sa.String),
    Message.reference.in_(sa.bindparam("references", expanding=True)),
)


def _of_references(
    session: Session, crm: AnyCrm, references: Collection[str | None]
) -> dict[str | None, rows.Row]:
    wanted = [reference for reference in references if reference is not None]
    if not wanted:
        return {}
    found = rows.fetch(session, _OF_REFERENCES, crm_id=crm.id, references=wanted)
    return {message.reference: message for message in found}


def _insert(session: Session, wanted: Sequence[dict[str, Any]]) -> dict[str, rows.Row]:
    """Puts in what can go in, and returns the messages by id: of one `reference` there is one message."""
    named = [row for row in wanted if row["reference"] is not None]
    unnamed = [row for row in wanted if row["reference"] is None]
    insert(session, Message, unnamed)
    # In one order everywhere, so that two batches with the same references wait for each other and do not deadlock.
    named.sort(key=lambda row: str(row["reference"]))
    new_ids = set(insert_new(session, Message, named, Message.id, ["crm_id", "reference"]))
    return {
        row["id"]: _made(row) for row in wanted if row["reference"] is None or row["id"] in new_ids
    }


def _made(row: dict[str, Any]) -> rows.Row:
    """What was put in is what a reader would find, so that it need not be read back."""
    return rows.message(row | {"metadata_": row["metadata"]})


def _refuse_other_bodies(wanted: Sequence[dict[str, Any]], messages: Sequence[rows.Row]) -> None:
    others = [
        number
        for number, (row, message) in enumerate(zip(wanted, messages, strict=True))
        if message.request_hash != row["request_hash"]
    ]
    if others:
        reference = wanted[others[0]]["reference"]
        raise Conflict(
            f"the reference {reference!r} was used before for another message",
            code="reference_used",
            details={"rows": others},
        )
