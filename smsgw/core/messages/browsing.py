"""Finds messages for people, who may see those of some CRMs, and searches a bounded part of the history at once."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import NotFound
from ...settings import Settings
from ...store.models import Crm, Message
from . import archive, reading
from .reading import MessageFilters

# How many messages one page goes through: 20 to 40 ms on either database.
SEARCHED_AT_ONCE = 20_000
# Those of one CRM lie far apart, so to count as many of them would take five times as long.
COUNTED_AT_ONCE = 5_000

CrmIds = Collection[str] | None


class SearchedPage(NamedTuple):
    """A page of messages, newest first. With `searched_to`, older ones than that may match as well."""

    messages: list[Message]
    next_cursor: str | None
    searched_to: datetime | None


def page(
    session: Session,
    crm_ids: CrmIds,
    settings: Settings,
    filters: MessageFilters,
    cursor: str | None,
    limit: int,
) -> SearchedPage:
    """Return at most `limit` messages of these CRMs (`None` for all) that match, and where to go on."""
    bounded = _bounded(session, crm_ids, filters, cursor)
    pages = [
        reading.page(session, crm, settings, bounded, cursor, limit)
        for crm in _crms(session, crm_ids)
    ]
    found = {message.id: message for messages, _ in pages for message in messages}
    newest = sorted(found.values(), key=lambda message: message.id, reverse=True)
    if len(newest) > limit or any(next_cursor for _, next_cursor in pages):
        return SearchedPage(newest[:limit], newest[limit - 1].id, None)
    searched_to = None if bounded.from_id is None else time_of(bounded.from_id)
    return SearchedPage(newest, bounded.from_id, searched_to)


def counts(
    session: Session, crm_ids: CrmIds, settings: Settings, filters: MessageFilters
) -> Counter[str]:
    """Return how many messages have each status, whatever status the filters name, among the newest that match."""
    anything = replace(_bounded(session, crm_ids, filters, None), status=None)
    found: Counter[str] = Counter()
    for crm in _crms(session, crm_ids):
        found += reading.counts(session, crm, settings, anything, COUNTED_AT_ONCE)
    return found


def newest_id(session: Session, crm_ids: CrmIds, settings: Settings) -> str | None:
    """Return the id of the newest message of these CRMs."""
    newest = page(session, crm_ids, settings, MessageFilters(), None, 1).messages
    return newest[0].id if newest else None


def get(session: Session, crm_ids: CrmIds, message_id: str) -> Message:
    """Return the message if it is one of these CRMs; `NotFound` otherwise."""
    for crm in _crms(session, crm_ids):
        try:
            return reading.get(session, crm, message_id)
        except NotFound:
            continue
    raise NotFound("There is no such message.")


def lock(session: Session, crm_ids: CrmIds, message_id: str) -> Message:
    """Return the message, locked until the commit, if it is one of these CRMs; `NotFound` otherwise."""
    get(session, crm_ids, message_id)
    return archive.get(session, message_id)


def lowest_id(session: Session, before: str | None) -> str | None:
    """Return the lowest id to search, of the newest messages or of those before this one; `None` where all are few."""
    return _lowest_id(session, MessageFilters(), before)


def time_of(message_id: str) -> datetime:
    """Return when a message with this id was made."""
    milliseconds = int(message_id.removeprefix("msg_")[:12], 16)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _crms(session: Session, crm_ids: CrmIds) -> Sequence[Crm | None]:
    if crm_ids is None:
        return [None]
    return session.scalars(sa.select(Crm).where(Crm.id.in_(crm_ids)).order_by(Crm.id)).all()


def _bounded(
    session: Session, crm_ids: CrmIds, filters: MessageFilters, cursor: str | None
) -> MessageFilters:
    """Return the filters with the lowest id to search, where no index leads to what matches."""
    in_the_index = MessageFilters(
        status=None if crm_ids is None else filters.status,
        direction=filters.direction if filters.direction != "inbound" else None,
        since=filters.since,
        until=filters.until,
    )
    if filters == in_the_index:
        return filters
    return replace(filters, from_id=_lowest_id(session, filters, cursor))


def _lowest_id(session: Session, filters: MessageFilters, cursor: str | None) -> str | None:
    newest_first = sa.select(Message.id).order_by(Message.id.desc())
    if filters.until is not None:
        newest_first = newest_first.where(Message.id < reading.first_id_of(filters.until))
    if cursor is not None:
        newest_first = newest_first.where(Message.id < cursor)
    lowest = session.scalar(newest_first.offset(SEARCHED_AT_ONCE).limit(1))
    if lowest is None or filters.since is None:
        return lowest
    return lowest if lowest > reading.first_id_of(filters.since) else None
