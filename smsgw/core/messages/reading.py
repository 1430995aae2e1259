"""Lists the messages that CRMs may see, in pages, newest first, however long the history is."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import Invalid, NotFound
from ...settings import Settings
from ...store.models import HistoryEntry, Message
from ..devices.advice import Advice
from . import dispatches, next_steps, search, waiting
from . import json as message_json
from .filters import MessageFilters
from .newest import CrmIds, Newest, is_visible


def page(
    session: Session,
    crm_ids: CrmIds,
    settings: Settings,
    filters: MessageFilters,
    cursor: str | None,
    limit: int,
) -> tuple[list[Message], str | None]:
    """Return at most `limit` messages of these CRMs (`None` for all), newest first, and the cursor of the next page.

    That is `None` on the last page. The cursor is the id of the last message of the page before; `Invalid` when it is
    none.
    """
    if cursor is not None and not ids.is_id(cursor, "msg"):
        raise Invalid.cursor()
    newest = Newest(crm_ids, filters, settings.default_region)
    found = _messages(session, newest, cursor, limit + 1)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def get(session: Session, crm_ids: CrmIds, message_id: str) -> Message:
    """Return the message, if one of these CRMs queued it or it came in for one; `NotFound` otherwise."""
    found = find(session, crm_ids, [message_id])
    if not found:
        raise NotFound(f"no message {message_id[:80]!r}")
    return found[0]


def find(session: Session, crm_ids: CrmIds, message_ids: Collection[str]) -> Sequence[Message]:
    """Return those of these messages that one of these CRMs queued or that came in for one, newest first."""
    wanted = sa.select(Message).where(Message.id.in_(message_ids), is_visible(crm_ids))
    return session.scalars(wanted.order_by(Message.id.desc())).all()


def whole_shape(
    session: Session, message: Message, settings: Settings, now: datetime
) -> dict[str, Any]:
    """Return the message with its `history`, its `dispatches` and what it is `waiting_for`."""
    return explained(session, message, settings, now)[0]


def explained(
    session: Session, message: Message, settings: Settings, now: datetime
) -> tuple[dict[str, Any], Advice | None]:
    """Return the same, and what to do about the message; `None` where it did what it should."""
    history = session.scalars(
        sa.select(HistoryEntry)
        .where(HistoryEntry.message_id == message.id)
        .order_by(HistoryEntry.id)
    )
    found = dispatches.of_message(session, message.id)
    wait = waiting.find(session, message, found, settings, now)
    shape = {
        **message_json.message(message),
        "history": [message_json.history_entry(row) for row in history],
        "dispatches": [message_json.dispatch(row) for row in found],
        "waiting_for": None if wait is None else wait.shape(),
    }
    return shape, next_steps.ended(message) if wait is None else wait.advice


def counts(
    session: Session, crm_ids: CrmIds, settings: Settings, filters: MessageFilters, most: int
) -> Counter[str]:
    """Return how many messages have each status, among the newest `most` of these CRMs that match."""
    newest = Newest(crm_ids, filters, settings.default_region)
    rows = session.execute(
        sa.select(Message.status, sa.func.count())
        .where(Message.id.in_(newest.ids(None, most)))
        .group_by(Message.status)
    )
    return Counter({row[0]: row[1] for row in rows})


def _messages(session: Session, newest: Newest, cursor: str | None, limit: int) -> list[Message]:
    is_search = newest.filters.q is not None
    wanted = (
        search.first(session, newest, cursor, limit) if is_search else newest.ids(cursor, limit)
    )
    found = sa.select(Message).where(Message.id.in_(wanted)).order_by(Message.id.desc())
    return list(session.scalars(found))
