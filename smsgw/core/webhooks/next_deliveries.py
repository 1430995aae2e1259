"""Finds the due deliveries that endpoints get next."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Delivery
from ...store.queries import Query, not_null
from .due import IS_DUE, IS_SINGLE, MOST_CLAIMED, MOST_IN_FLIGHT, MOST_IN_ORDER, Candidate

# The numbers of endpoints for which there are statements.
_SIZES = (1, 2, 4, 8, 16)
_MOST_AT_ONCE = max(_SIZES)


class _Due(NamedTuple):
    endpoint_id: str
    id: str
    next_attempt_at: datetime


def _firsts_of(
    size: int, most: int, order: Sequence[Any], *conditions: sa.ColumnElement[bool]
) -> sa.CompoundSelect[Any]:
    """Return the statement for the first due deliveries of so many endpoints. It reads no more rows than needed."""

    def arm(place: int) -> sa.Select[Any]:
        first = (
            sa.select(Delivery.endpoint_id, Delivery.id, not_null(Delivery.next_attempt_at))
            .where(Delivery.endpoint_id == sa.bindparam(f"endpoint_{place}"), *conditions)
            .order_by(*order)
            .limit(most)
            .subquery()
        )
        return sa.select(first)

    return sa.union_all(*(arm(place) for place in range(size)))


_BY_TIME = (Delivery.next_attempt_at,)
# Those of one transaction have one time.
_IN_PLACE = (Delivery.next_attempt_at, Delivery.id)
_IS_LEFT_BEHIND = Delivery.claim.is_not(None)
_LONGEST_DUE = {
    size: Query(_Due, _firsts_of(size, MOST_IN_FLIGHT, _BY_TIME, IS_DUE)) for size in _SIZES
}
_LONG_DUE = {size: Query(_Due, _firsts_of(size, MOST_CLAIMED, _BY_TIME, IS_DUE)) for size in _SIZES}
_HANDED_IN = {
    size: Query(_Due, _firsts_of(size, MOST_IN_FLIGHT, _BY_TIME, IS_DUE, IS_SINGLE))
    for size in _SIZES
}
_NEXT_IN_PLACE = {
    size: Query(_Due, _firsts_of(size, MOST_IN_ORDER, _IN_PLACE, IS_DUE)) for size in _SIZES
}
# Left by a worker that died: their leases have put them behind those that came after them.
_LEFT_BEHIND = {
    size: Query(_Due, _firsts_of(size, MOST_IN_ORDER, _IN_PLACE, IS_DUE, _IS_LEFT_BEHIND))
    for size in _SIZES
}


def of_endpoints(
    session: Session, candidates: Sequence[Candidate], now: datetime
) -> list[list[str]]:
    """Return the next deliveries of each endpoint: single attempts first, then those that have been due longest."""
    by_hand = [candidate.endpoint_id for candidate in candidates if candidate.has_single]
    singles = _firsts(session, _HANDED_IN, by_hand, now)
    in_order = [each.endpoint_id for each in candidates if each.is_ordered]
    others = [each for each in candidates if not each.is_ordered]
    few = [each.endpoint_id for each in others if each.allowed <= MOST_IN_FLIGHT]
    many = [each.endpoint_id for each in others if each.allowed > MOST_IN_FLIGHT]
    longest = _firsts(session, _LONGEST_DUE, few, now)
    longest.update(_firsts(session, _LONG_DUE, many, now))
    longest.update(_firsts(session, _NEXT_IN_PLACE, in_order, now))
    for endpoint_id, left in _firsts(session, _LEFT_BEHIND, in_order, now).items():
        longest[endpoint_id] = sorted({*left, *longest[endpoint_id]})
    return [
        list(
            dict.fromkeys(
                singles[each.endpoint_id][: each.allowed]
                + longest[each.endpoint_id][: each.probes_allowed]
            )
        )[: each.allowed]
        for each in candidates
    ]


def _firsts(
    session: Session, queries: dict[int, Query[_Due]], endpoint_ids: Sequence[str], now: datetime
) -> dict[str, list[str]]:
    """Return the first few due deliveries of each endpoint, with one statement for many of them."""
    found: dict[str, list[str]] = defaultdict(list)
    rows = [
        row
        for first in range(0, len(endpoint_ids), _MOST_AT_ONCE)
        for row in _due(session, queries, endpoint_ids[first : first + _MOST_AT_ONCE], now)
    ]
    for row in sorted(rows, key=attrgetter("next_attempt_at", "id")):
        found[row.endpoint_id].append(row.id)
    return found


def _due(
    session: Session, queries: dict[int, Query[_Due]], endpoint_ids: Sequence[str], now: datetime
) -> Iterable[_Due]:
    size = next(size for size in queries if size >= len(endpoint_ids))
    # There is no endpoint called "".
    wanted = [*endpoint_ids, *[""] * (size - len(endpoint_ids))]
    names = {f"endpoint_{place}": endpoint_id for place, endpoint_id in enumerate(wanted)}
    return queries[size].all(session, now=now, **names)
