"""Lists the messages of all CRMs for operators, in pages or one after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import NotFound
from ...store.db import Database
from ...store.models import InboxEntry, Message
from .filters import first_id_of

_PAGE = 1000
# An id and the row's `created_at` are made in one transaction, a moment apart.
_ID_SLACK = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class ArchiveFilters:
    """A choice of messages; `crm_id` means those that this CRM queued or was routed, `since` is included."""

    crm_id: str | None = None
    device_id: str | None = None
    direction: str | None = None
    status: str | None = None
    is_stuck: bool = False
    since: datetime | None = None


def page(
    session: Session, filters: ArchiveFilters, before: str | None, limit: int
) -> list[Message]:
    """Return the newest messages, or those older than the message `before`."""
    statement = sa.select(Message).where(*_conditions(filters)).order_by(Message.id.desc())
    if before is not None:
        statement = statement.where(Message.id < before)
    return list(session.scalars(statement.limit(limit)))


def get(session: Session, message_id: str) -> Message:
    """Return the message, locked until the commit. Raises `NotFound` when there is none."""
    message = session.get(Message, message_id, with_for_update=True)
    if message is None:
        raise NotFound(f"no message {message_id[:80]!r}")
    return message


def count(session: Session, filters: ArchiveFilters) -> int:
    """Return the number of messages."""
    statement = sa.select(sa.func.count(Message.id)).where(*_conditions(filters))
    return session.scalar(statement) or 0


def walk(database: Database, filters: ArchiveFilters) -> Iterator[list[Message]]:
    """Return all messages, oldest first, read a thousand at a time in separate transactions."""
    after = ""
    while True:
        with database.reading() as session:
            found = list(
                session.scalars(
                    sa.select(Message)
                    .where(Message.id > after, *_conditions(filters))
                    .order_by(Message.id)
                    .limit(_PAGE)
                )
            )
        if found:
            yield found
        if len(found) < _PAGE:
            return
        after = found[-1].id


def _conditions(filters: ArchiveFilters) -> list[sa.ColumnElement[bool]]:
    exact = {
        Message.device_id: filters.device_id,
        Message.direction: filters.direction,
        Message.status: filters.status,
    }
    conditions = [column == value for column, value in exact.items() if value is not None]
    if filters.crm_id is not None:
        inbox = sa.select(InboxEntry.message_id).where(InboxEntry.crm_id == filters.crm_id)
        conditions.append(sa.or_(Message.crm_id == filters.crm_id, Message.id.in_(inbox)))
    if filters.is_stuck:
        conditions.append(Message.stuck_at.is_not(None))
    if filters.since is not None:
        conditions.append(Message.id >= first_id_of(filters.since - _ID_SLACK))
        conditions.append(Message.created_at >= filters.since)
    return conditions
