"""Finds the messages that a person may see, and searches a bounded part of the history at a time."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.models import Message
from . import archive, reading
from .filters import MessageFilters, first_id_of
from .newest import CrmIds

# How many messages are searched for one page: 20 to 40 ms on either database.
SEARCHED_AT_ONCE = 20_000
# Counting as many of one CRM would take five times as long, because they lie far apart.
COUNTED_AT_ONCE = 5_000


class SearchedPage(NamedTuple):
    """A page of messages, newest first. With `searched_to`, older ones than that may match as well."""

    messages: list[Message]
    next_cursor: str | None
    searched_to: datetime | None


class StatusCounts(NamedTuple):
    """The number of messages with each status. With `since`, older ones were not counted."""

    by_status: Counter[str]
    since: datetime | None


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
    found, next_cursor = reading.page(session, crm_ids, settings, bounded, cursor, limit)
    if next_cursor is not None or bounded.from_id is None:
        return SearchedPage(found, next_cursor, None)
    return SearchedPage(found, bounded.from_id, time_of(bounded.from_id))


def counts(
    session: Session, crm_ids: CrmIds, settings: Settings, filters: MessageFilters
) -> StatusCounts:
    """Count the newest messages that match by their status; the filters' own status is ignored.

    For several CRMs, and for filters without an index, only the newest `SEARCHED_AT_ONCE` of all messages are searched.
    """
    anything = replace(filters, status=None)
    if crm_ids is None or len(crm_ids) == 1:
        bounded = _bounded(session, crm_ids, anything, None)
    else:
        bounded = replace(anything, from_id=_lowest_id(session, anything, None))
    found = reading.counts(session, crm_ids, settings, bounded, COUNTED_AT_ONCE)
    return StatusCounts(found, None if bounded.from_id is None else time_of(bounded.from_id))


def newest_id(session: Session, crm_ids: CrmIds, settings: Settings) -> str | None:
    """Return the id of the newest message of these CRMs."""
    newest = page(session, crm_ids, settings, MessageFilters(), None, 1).messages
    return newest[0].id if newest else None


def lock(session: Session, crm_ids: CrmIds, message_id: str) -> Message:
    """Return the message, locked until the commit, if it is one of these CRMs; `NotFound` otherwise."""
    reading.get(session, crm_ids, message_id)
    return archive.get(session, message_id)


def lowest_id(session: Session, before: str | None) -> str | None:
    """Return the lowest id to search among the newest messages, or those before this one; `None` if they are few."""
    return _lowest_id(session, MessageFilters(), before)


def time_of(message_id: str) -> datetime:
    """Return when a message with this id was made."""
    milliseconds = int(message_id.removeprefix("msg_")[:12], 16)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _bounded(
    session: Session, crm_ids: CrmIds, filters: MessageFilters, cursor: str | None
) -> MessageFilters:
    """Return the filters, with the lowest id to search if they have no index."""
    in_the_index = MessageFilters(
        status=None if crm_ids is None else filters.status,
        is_stuck=crm_ids is None and filters.is_stuck,
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
        newest_first = newest_first.where(Message.id < first_id_of(filters.until))
    if cursor is not None:
        newest_first = newest_first.where(Message.id < cursor)
    lowest = session.scalar(newest_first.offset(SEARCHED_AT_ONCE).limit(1))
    if lowest is None or filters.since is None:
        return lowest
    return lowest if lowest > first_id_of(filters.since) else None
