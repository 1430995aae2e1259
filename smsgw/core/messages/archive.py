"""Reads the messages of all CRMs for operators: one by its id, or all of them, oldest first."""

from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import NotFound
from ...store.db import Database
from ...store.models import Message
from . import filters as message_filters
from .filters import MessageFilters

_PAGE = 1000


def get(session: Session, message_id: str) -> Message:
    """Return the message, locked until the commit. Raises `NotFound` if there is none."""
    message = session.get(Message, message_id, with_for_update=True)
    if message is None:
        raise NotFound(f"no message {message_id[:80]!r}")
    return message


def count(session: Session, since: datetime | None) -> int:
    """Return the number of messages, since that time if one is given."""
    statement = sa.select(sa.func.count(Message.id)).where(*_conditions(since))
    return session.scalar(statement) or 0


def walk(database: Database, since: datetime | None) -> Iterator[list[Message]]:
    """Yield all messages, oldest first, a thousand at a time, each time in a separate transaction."""
    after = ""
    while True:
        with database.reading() as session:
            found = list(
                session.scalars(
                    sa.select(Message)
                    .where(Message.id > after, *_conditions(since))
                    .order_by(Message.id)
                    .limit(_PAGE)
                )
            )
        if found:
            yield found
        if len(found) < _PAGE:
            return
        after = found[-1].id


def _conditions(since: datetime | None) -> list[sa.ColumnElement[bool]]:
    filters = MessageFilters(since=since)
    lowest_id, _ = message_filters.id_range(filters, None)
    return [Message.id >= lowest_id, *message_filters.conditions(filters, None)]
