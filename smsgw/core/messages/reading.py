"""Lists the messages a CRM may see, in pages, newest first, however long the history is."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from ...errors import Invalid, NotFound
from ...settings import Settings
from ...sms import numbers, statuses
from ...store.models import HistoryEntry, InboxEntry, Message
from ...store.rows import AnyCrm
from . import dispatches, search, waiting
from . import json as message_json

_ID = re.compile(r"msg_[0-9a-f]{32}")
# An id and the row's `created_at` are made in one transaction, a moment apart.
_ID_SLACK = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class MessageFilters:
    """A choice of messages. `q` is searched in content, numbers and reference; `since` is included, `until` is not.

    `number` is the sender or the recipient; `from_id` is the lowest id.
    """

    direction: str | None = None
    status: str | None = None
    device_id: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    number: str | None = None
    reference: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    from_id: str | None = None


def page(
    session: Session,
    crm: AnyCrm | None,
    settings: Settings,
    filters: MessageFilters,
    cursor: str | None,
    limit: int,
) -> tuple[list[Message], str | None]:
    """Return at most `limit` messages of the CRM, newest first, and the cursor of the next page (`None` on the last).

    Without a CRM it is those of all.

    The cursor is the id of the last message of the page before; `Invalid` when it is none.
    """
    if cursor is not None and not _ID.fullmatch(cursor):
        text = "Not a cursor that a page before gave."
        raise Invalid(f"cursor: {text}", details={"cursor": [text]})
    conditions = _conditions(filters, settings.default_region)
    found = [
        message
        for source, column in _sources(crm, filters, cursor)
        for message in _first(session, source.where(*conditions), column, filters.q, limit + 1)
    ]
    found.sort(key=lambda message: message.id, reverse=True)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def get(session: Session, crm: AnyCrm | None, message_id: str) -> Message:
    """Return the message, if this CRM queued it or it came in for this CRM; `NotFound` otherwise. `None` reads all."""
    message = session.get(Message, message_id)
    if message is None or not _is_visible(session, crm, message):
        raise NotFound(f"no message {message_id[:80]!r}")
    return message


def whole_shape(
    session: Session, message: Message, settings: Settings, now: datetime
) -> dict[str, Any]:
    """Return the message with its `history`, its `dispatches` and what it is `waiting_for`."""
    history = session.scalars(
        sa.select(HistoryEntry)
        .where(HistoryEntry.message_id == message.id)
        .order_by(HistoryEntry.id)
    )
    found = dispatches.of_message(session, message.id)
    return {
        **message_json.message(message),
        "history": [message_json.history_entry(row) for row in history],
        "dispatches": [message_json.dispatch(row) for row in found],
        "waiting_for": waiting.waiting_for(session, message, found, settings, now),
    }


def counts(
    session: Session, crm: AnyCrm | None, settings: Settings, filters: MessageFilters, most: int
) -> Counter[str]:
    """Return how many messages have each status, among the newest `most` of the CRM that match."""
    conditions = _conditions(filters, settings.default_region)
    found: Counter[str] = Counter()
    for source, _ in _sources(crm, filters, None):
        newest = source.with_only_columns(Message.status).where(*conditions).limit(most).subquery()
        rows = session.execute(
            sa.select(newest.c.status, sa.func.count()).group_by(newest.c.status)
        )
        found.update({row[0]: row[1] for row in rows})
    return found


def first_id_of(moment: datetime) -> str:
    """Return the lowest id of messages made at this moment or later. Ids begin with the milliseconds."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return f"msg_{milliseconds:012x}"


def _is_visible(session: Session, crm: AnyCrm | None, message: Message) -> bool:
    if crm is None:
        return True
    if message.direction == "outbound":
        return message.crm_id == crm.id
    return session.get(InboxEntry, (crm.id, message.id)) is not None


def _may_be_outbound(filters: MessageFilters) -> bool:
    return filters.direction != "inbound" and filters.status not in statuses.INBOUND


def _may_be_inbound(filters: MessageFilters) -> bool:
    """Return whether an inbound message can match; a search for what none has would walk through all of them."""
    is_inbound_status = filters.status is None or filters.status in statuses.INBOUND
    return filters.direction != "outbound" and is_inbound_status and filters.reference is None


def _sources(
    crm: AnyCrm | None, filters: MessageFilters, cursor: str | None
) -> Iterator[tuple[sa.Select[Message], InstrumentedAttribute[str]]]:
    """Return the statement to search, and the column that orders it."""
    ids = _id_range(Message.id, filters, cursor)
    if crm is None:
        yield _all(filters.direction, ids), Message.id
        return
    if _may_be_outbound(filters):
        yield _outbound(crm, ids), Message.id
    if _may_be_inbound(filters):
        entries = InboxEntry.message_id
        yield _inbound(crm, _id_range(entries, filters, cursor)), entries


def _all(direction: str | None, id_range: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Message]:
    statement = sa.select(Message).where(*id_range).order_by(Message.id.desc())
    return statement if direction is None else statement.where(Message.direction == direction)


def _first(
    session: Session,
    source: sa.Select[Message],
    column: InstrumentedAttribute[str],
    q: str | None,
    limit: int,
) -> Sequence[Message]:
    if q is not None:
        return search.first(session, source, column, q, limit)
    return session.scalars(source.limit(limit)).all()


def _outbound(crm: AnyCrm, id_range: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Message]:
    return sa.select(Message).where(Message.crm_id == crm.id, *id_range).order_by(Message.id.desc())


def _inbound(crm: AnyCrm, id_range: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Message]:
    # Ordered by the inbox, whose index finds the newest ones without sorting them all.
    return (
        sa.select(Message)
        .join(InboxEntry, InboxEntry.message_id == Message.id)
        .where(InboxEntry.crm_id == crm.id, *id_range)
        .order_by(InboxEntry.message_id.desc())
    )


def _conditions(filters: MessageFilters, region: str | None) -> list[sa.ColumnElement[bool]]:
    exact = {
        Message.status: filters.status,
        Message.device_id: filters.device_id,
        Message.reference: filters.reference,
    }
    conditions = [column == value for column, value in exact.items() if value is not None]
    if filters.from_number is not None:
        conditions.append(Message.from_number.in_(_spellings(filters.from_number, region)))
    if filters.to_number is not None:
        conditions.append(Message.to_number.in_(_spellings(filters.to_number, region)))
    if filters.number is not None:
        spellings = _spellings(filters.number, region)
        conditions.append(
            sa.or_(Message.from_number.in_(spellings), Message.to_number.in_(spellings))
        )
    if filters.since is not None:
        conditions.append(Message.created_at >= filters.since)
    if filters.until is not None:
        conditions.append(Message.created_at < filters.until)
    return conditions


def _id_range(
    column: InstrumentedAttribute[str],
    filters: MessageFilters,
    cursor: str | None,
) -> list[sa.ColumnElement[bool]]:
    """Return a condition that an index on the id can use, so that old times are found without a scan."""
    conditions = []
    if filters.from_id is not None:
        conditions.append(column >= filters.from_id)
    if filters.since is not None:
        conditions.append(column >= first_id_of(filters.since - _ID_SLACK))
    if filters.until is not None:
        conditions.append(column < first_id_of(filters.until + _ID_SLACK))
    if cursor is not None:
        conditions.append(column < cursor)
    return conditions


def _spellings(number: str, region: str | None) -> list[str]:
    """Return the number as it was given and as it is kept."""
    return list({number, numbers.normalise(number, region)})
