"""Turns filters of messages into conditions of a statement and a range of ids."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from ...sms import numbers, statuses
from ...store.models import Message

# An id and the row's `created_at` are made in one transaction, a moment apart.
_ID_SLACK = timedelta(hours=1)
# Below and above all ids of messages, which are `msg_` and hexadecimal digits.
_BELOW_ALL = ""
_ABOVE_ALL = "msg_g"


@dataclass(frozen=True, kw_only=True)
class MessageFilters:
    """A choice of messages. `q` is searched in content, numbers and reference; `since` is included, `until` is not.

    `number` is the sender or the recipient; `from_id` is the lowest id; `is_stuck`: a phone has had it for too long.
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
    is_stuck: bool = False

    @property
    def may_be_outbound(self) -> bool:
        """Return whether an outbound message can match."""
        return self.direction != "inbound" and self.status not in statuses.INBOUND

    @property
    def may_be_inbound(self) -> bool:
        """Return whether an inbound message can match; a search for what none has would walk through all of them."""
        is_inbound_status = self.status is None or self.status in statuses.INBOUND
        return self.direction != "outbound" and is_inbound_status and self.reference is None


def conditions(filters: MessageFilters, region: str | None) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of all filters but `q`, direction and status; numbers are normalised for the region."""
    exact = {
        Message.device_id: filters.device_id,
        Message.reference: filters.reference,
    }
    found = [column == value for column, value in exact.items() if value is not None]
    if filters.from_number is not None:
        found.append(Message.from_number.in_(_spellings(filters.from_number, region)))
    if filters.to_number is not None:
        found.append(Message.to_number.in_(_spellings(filters.to_number, region)))
    if filters.number is not None:
        spellings = _spellings(filters.number, region)
        found.append(sa.or_(Message.from_number.in_(spellings), Message.to_number.in_(spellings)))
    if filters.is_stuck:
        found.append(Message.stuck_at.is_not(None))
    if filters.since is not None:
        found.append(Message.created_at >= filters.since)
    if filters.until is not None:
        found.append(Message.created_at < filters.until)
    return found


def id_range(filters: MessageFilters, cursor: str | None) -> tuple[str, str]:
    """Return the lowest id to find and the first one above all, so that the index of ids serves for times too."""
    lowest, above = [filters.from_id or _BELOW_ALL], [cursor or _ABOVE_ALL]
    if filters.since is not None:
        lowest.append(first_id_of(filters.since - _ID_SLACK))
    if filters.until is not None:
        above.append(first_id_of(filters.until + _ID_SLACK))
    return max(lowest), min(above)


def first_id_of(moment: datetime) -> str:
    """Return the lowest id of messages made at this moment or later. Ids begin with the milliseconds."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return f"msg_{milliseconds:012x}"


def _spellings(number: str, region: str | None) -> list[str]:
    """Return the number as it was given and as it is kept."""
    return list({number, numbers.normalise(number, region)})
