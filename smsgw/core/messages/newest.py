"""Builds the statements that find the newest messages that CRMs may see: what they queued, and what came in for them.

Each CRM's messages are read down an index that begins with the CRM, however few they are among those of others.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from ...store.models import InboxEntry, Message
from . import filters as message_filters
from .filters import MessageFilters

CrmIds = Collection[str] | None
Column = InstrumentedAttribute[Any]
IdRange = tuple[str, str]
Conditions = Sequence[sa.ColumnElement[bool]]
# SQLite combines at most 500 statements in one.
_MOST_COMBINED = 100


@dataclass(frozen=True)
class Newest:
    """The messages of these CRMs (`None` for all) that match, newest first; numbers are normalised for the region."""

    crm_ids: CrmIds
    filters: MessageFilters
    region: str | None

    def ids(
        self, cursor: str | None, limit: int, *conditions: sa.ColumnElement[bool]
    ) -> sa.Select[str]:
        """Return the statement for at most `limit` ids below the cursor, of messages that meet the conditions too."""
        matching = [*message_filters.conditions(self.filters, self.region), *conditions]
        id_range = message_filters.id_range(self.filters, cursor)
        parts = [part.limit(limit) for part in self._parts(id_range, matching)]
        return _combined(parts, limit) if parts else sa.select(Message.id).where(sa.false())

    def _parts(self, id_range: IdRange, matching: Conditions) -> Iterator[sa.Select[str]]:
        if self.crm_ids is None:
            yield self._of_all(id_range, matching)
            return
        for crm_id in self.crm_ids:
            if self.filters.may_be_outbound:
                yield self._outbound(crm_id, id_range).where(*matching)
            if self.filters.may_be_inbound:
                yield self._inbound(crm_id, id_range, matching)

    def _of_all(self, id_range: IdRange, matching: Conditions) -> sa.Select[str]:
        lowest, above = id_range
        exact = {Message.direction: self.filters.direction, Message.status: self.filters.status}
        is_wanted = [column == value for column, value in exact.items() if value is not None]
        wanted = sa.select(Message.id).where(Message.id >= lowest, Message.id < above)
        return wanted.where(*is_wanted, *matching).order_by(Message.id.desc())

    def _outbound(self, crm_id: str, id_range: IdRange) -> sa.Select[str]:
        place = {Message.crm_id: crm_id}
        if self.filters.status is not None:
            place[Message.status] = self.filters.status
        return _down(place, Message.id, id_range)

    def _inbound(self, crm_id: str, id_range: IdRange, matching: Conditions) -> sa.Select[str]:
        wanted = _down({InboxEntry.crm_id: crm_id}, InboxEntry.message_id, id_range)
        if self.filters.status is not None:
            matching = [*matching, Message.status == self.filters.status]
        if not matching:
            return wanted
        # A value and no join: PostgreSQL would also begin a join with all messages.
        its_message = sa.select(sa.and_(*matching)).where(Message.id == InboxEntry.message_id)
        return wanted.where(its_message.correlate(InboxEntry).scalar_subquery())


def is_visible(crm_ids: CrmIds) -> sa.ColumnElement[bool]:
    """Match the messages that these CRMs (`None` for all) queued, and those that came in for one of them."""
    if crm_ids is None:
        return sa.true()
    entry = sa.select(InboxEntry.crm_id).where(
        InboxEntry.message_id == Message.id, InboxEntry.crm_id.in_(crm_ids)
    )
    is_inbound = Message.direction == "inbound"
    return sa.or_(Message.crm_id.in_(crm_ids), sa.and_(is_inbound, entry.exists()))


def _down(place: Mapping[Column, str], id_column: Column, id_range: IdRange) -> sa.Select[str]:
    """Read ids down the index that begins with these columns and ends with the id.

    Ordered by the id alone, PostgreSQL would go down all messages in the hope of soon meeting enough of this CRM's.
    """
    lowest, above = id_range
    columns = (*place, id_column)
    key = sa.tuple_(*columns)
    is_within = (
        key >= sa.tuple_(*place.values(), lowest),
        key < sa.tuple_(*place.values(), above),
    )
    return sa.select(id_column).where(*is_within).order_by(*(column.desc() for column in columns))


def _combined(parts: list[sa.Select[str]], limit: int) -> sa.Select[str]:
    """Return the statement for the newest ids of all parts, each of them once."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) > _MOST_COMBINED:
        starts = range(0, len(parts), _MOST_COMBINED)
        parts = [_combined(parts[start : start + _MOST_COMBINED], limit) for start in starts]
    (newest_first,) = sa.union(*(sa.select(part.subquery()) for part in parts)).subquery().c
    return sa.select(newest_first).order_by(newest_first.desc()).limit(limit)
