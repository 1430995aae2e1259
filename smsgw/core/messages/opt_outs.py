"""Keeps each CRM's list of numbers that want no more messages, and ends what is queued for a number put on it.

A change locks the number (`number_locks`) before it is written. So a message is refused if it is queued afterwards,
and found here if it was queued before; its hand-out (`dispatching`) asks once more in any case. A change waits for
hand-outs to the number that have begun.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...clock import rfc3339
from ...errors import Invalid, NotFound
from ...settings import Settings
from ...sms import numbers, text_hashes
from ...sms.numbers import without_plus
from ...store import audit
from ...store.inserts import InsertNew
from ...store.models import Crm, Message, OptOut
from ...store.sessions import connection_of
from ..devices import queue as device_queue
from ..events.recording import NewEvent
from . import endings, number_locks
from .history import HistoryWriter

LONGEST_NOTE = 500


class Cause(NamedTuple):
    """The cause of a change of a list: `sms`, with the message that said so and its device, or `api` or `cli`."""

    source: str
    message_id: str | None = None
    device_id: str | None = None


class _New(NamedTuple):
    id: str
    crm_id: str
    number: str
    bare_number: str
    note: str | None
    source: str
    message_id: str | None
    created_at: datetime


_NEW_OPT_OUTS = InsertNew(
    OptOut, _New, conflict_on=[OptOut.crm_id, OptOut.bare_number], returning=OptOut.id
)


def read_number(text: str, settings: Settings) -> str:
    """Return the number as messages to it are kept; `Invalid` for what is no number."""
    fault = numbers.refusal(text, settings.default_region)
    if fault is not None:
        raise Invalid.field("number", fault)
    return numbers.normalise(text, settings.default_region)


def add(
    session: Session,
    crm_id: str,
    number: str,
    cause: Cause,
    history: HistoryWriter,
    note: str | None = None,
) -> bool:
    """Put a normalised number on the list and fail what is queued for it; return whether it is new there.

    A note that is given replaces the note of a number that is there already.
    """
    number_locks.take(connection_of(session), [(crm_id, number)])
    row = _New(
        ids.new_opt_out_id(),
        crm_id,
        number,
        without_plus(number),
        note,
        cause.source,
        cause.message_id,
        history.now,
    )
    is_new = bool(_NEW_OPT_OUTS.new(session, [row]))
    if is_new:
        _audit(session, "add", row, cause, {"crm_id": [None, crm_id], "note": [None, note]})
        _announce("opt_out.added", row, cause, history)
        endings.fail_opted_out(session, _lock_queued(session, crm_id, number), history)
    elif note is not None:
        found = get(session, crm_id, number)
        _audit(session, "change", found, cause, {"note": [found.note, note]})
        found.note = note
    return is_new


def remove(
    session: Session, crm_id: str, number: str, cause: Cause, history: HistoryWriter
) -> bool:
    """Take a normalised number off the list; return whether it was on it."""
    number_locks.take(connection_of(session), [(crm_id, number)])
    found = _find(session, crm_id, number)
    if found is None:
        return False
    _audit(session, "remove", found, cause, {"crm_id": [crm_id, None]})
    _announce("opt_out.removed", found, cause, history)
    session.delete(found)
    session.flush()
    return True


def get(session: Session, crm_id: str, number: str) -> OptOut:
    """Return the row of a normalised number; raise `NotFound` if it is not on the list."""
    found = _find(session, crm_id, number)
    if found is None:
        raise NotFound(f"the number {number[:80]!r} is not on the list")
    return found


def page(
    session: Session,
    crm_ids: Collection[str] | None,
    number: str | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[OptOut], str | None]:
    """Return at most `limit` rows of these CRMs, or of all CRMs, newest first, and the cursor of the next page.

    The cursor is the id of the last row of the page before; `Invalid` when it is none.
    """
    if cursor is not None and not ids.is_id(cursor, "opt"):
        raise Invalid.cursor()
    statement = sa.select(OptOut).order_by(OptOut.id.desc()).limit(limit + 1)
    if crm_ids is None and number is not None:
        # The index of numbers begins with the CRM.
        crm_ids = session.scalars(sa.select(Crm.id)).all()
    if crm_ids is not None:
        statement = statement.where(OptOut.crm_id.in_(crm_ids))
    if number is not None:
        statement = statement.where(OptOut.bare_number == without_plus(number))
    if cursor is not None:
        statement = statement.where(OptOut.id < cursor)
    found = session.scalars(statement).all()
    return list(found[:limit]), found[limit - 1].id if len(found) > limit else None


def of_number(
    session: Session, crm_ids: Collection[str] | None, number: str
) -> list[tuple[str, OptOut]]:
    """Return the rows of a normalised number on the lists of these CRMs (`None` for all), each with the CRM's name."""
    found = (
        sa.select(Crm.name, OptOut)
        .join(OptOut, OptOut.crm_id == Crm.id)
        .where(Crm.removed_at.is_(None), OptOut.bare_number == without_plus(number))
        .order_by(Crm.id)
    )
    if crm_ids is not None:
        found = found.where(Crm.id.in_(crm_ids))
    return [(name, row) for name, row in session.execute(found)]


def shape(row: OptOut | _New) -> dict[str, Any]:
    """Return a row in JSON."""
    return {
        "number": row.number,
        "note": row.note,
        "source": row.source,
        "message_id": row.message_id,
        "created_at": rfc3339(row.created_at),
    }


def _audit(
    session: Session,
    action: str,
    row: OptOut | _New,
    cause: Cause,
    fields: dict[str, list[str | None]],
) -> None:
    """Note who changes a list; what a recipient wants by SMS is an event alone."""
    if cause.message_id is None:
        audit.note(session, "opt_out", row.id, action, row.number, fields)


def _announce(event_type: str, row: OptOut | _New, cause: Cause, history: HistoryWriter) -> None:
    """Announce the row to its CRM, with what changed the list just now."""
    data = {**shape(row), "source": cause.source, "message_id": cause.message_id}
    event = NewEvent(event_type, row.crm_id, data, cause.device_id, cause.message_id)
    history.add_event(event)


def _find(session: Session, crm_id: str, number: str) -> OptOut | None:
    is_it = sa.and_(OptOut.crm_id == crm_id, OptOut.bare_number == without_plus(number))
    return session.scalars(sa.select(OptOut).where(is_it)).one_or_none()


def _lock_queued(session: Session, crm_id: str, number: str) -> Sequence[Message]:
    """Lock what the CRM has queued for the number, in either spelling, after any hand-out that takes one of them."""
    first, last = text_hashes.of_number(crm_id, number)
    bare = without_plus(number)
    return session.scalars(
        sa.select(Message)
        .where(
            Message.text_hash.between(first, last),
            Message.crm_id == crm_id,
            Message.to_number.in_([bare, f"+{bare}"]),
            device_queue.IS_QUEUED,
        )
        .order_by(Message.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
