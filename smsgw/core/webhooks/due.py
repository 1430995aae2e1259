"""Finds the endpoints with something due, and the deliveries that each of them gets next."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.db import Database
from ...store.models import Delivery, WebhookEndpoint
from ...store.queries import Query, not_null
from .delivery_statuses import IS_PENDING
from .retries import FAILURES_TO_OPEN

MOST_IN_FLIGHT = 4
# For an endpoint that only one worker serves, with those that wait there for others to end.
MOST_CLAIMED = 128
# For an endpoint that keeps the order: no more before the last of them has ended.
MOST_IN_ORDER = 16
# The numbers of endpoints for which there are statements.
_SIZES = (1, 2, 4, 8, 16)
_MOST_AT_ONCE = max(_SIZES)


@dataclass(frozen=True)
class FreeThreads:
    """For how many deliveries threads are free or soon will be, and how many of these may be for endpoints that ran
    into the timeout.

    `claimed` says how many deliveries of each endpoint the worker has already, `ahead` how many it may have that wait
    until others have ended.
    """

    threads: int
    slow_threads: int
    claimed: Mapping[str, int] = field(default_factory=dict)
    ahead: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """An endpoint with something due. `allowed` is how many more requests it may get at the same time; `probes_allowed`
    is the same as the breaker sees it, which does not hold up single attempts: somebody waits for their outcome."""

    endpoint_id: str
    in_flight: int
    is_slow: bool
    has_single: bool
    allowed: int
    probes_allowed: int
    is_ordered: bool


class _Busy(NamedTuple):
    """An endpoint with something due."""

    id: str
    has_timed_out: bool
    consecutive_failures: int
    in_flight: int
    is_closed: bool
    has_single: bool
    is_ordered: bool


class _Due(NamedTuple):
    endpoint_id: str
    id: str
    next_attempt_at: datetime


_IS_ORDERED = sa.func.lower(sa.func.substr(WebhookEndpoint.url, 1, 4)) == "amqp"
_NOW = sa.bindparam("now", type_=Delivery.created_at.type)
_IS_DUE = sa.and_(IS_PENDING, Delivery.next_attempt_at <= _NOW)
_IS_SINGLE = Delivery.retry_step.is_(None)
_IS_OF_ENDPOINT = Delivery.endpoint_id == WebhookEndpoint.id
_IN_FLIGHT = (
    sa.select(sa.func.count())
    .where(_IS_OF_ENDPOINT, Delivery.claim.is_not(None), Delivery.next_attempt_at > _NOW)
    .scalar_subquery()
)
_DUE_SINCE = (
    sa.select(Delivery.next_attempt_at)
    .where(_IS_OF_ENDPOINT, _IS_DUE)
    .order_by(Delivery.next_attempt_at)
    .limit(1)
    .scalar_subquery()
)
_HAS_SINGLE = sa.exists().where(_IS_OF_ENDPOINT, _IS_DUE, _IS_SINGLE)
_IS_CLOSED = sa.and_(
    sa.or_(WebhookEndpoint.paused_until.is_(None), WebhookEndpoint.paused_until <= _NOW),
    sa.or_(WebhookEndpoint.consecutive_failures < FAILURES_TO_OPEN, _IN_FLIGHT == 0),
)
_BUSY = Query(
    _Busy,
    sa.select(
        WebhookEndpoint.id,
        WebhookEndpoint.has_timed_out,
        WebhookEndpoint.consecutive_failures,
        _IN_FLIGHT.label("in_flight"),
        _IS_CLOSED.label("is_closed"),
        _HAS_SINGLE.label("has_single"),
        _IS_ORDERED.label("is_ordered"),
    )
    .where(
        WebhookEndpoint.enabled,
        WebhookEndpoint.removed_at.is_(None),
        sa.or_(
            sa.bindparam("has_slow_threads", type_=sa.Boolean),
            WebhookEndpoint.has_timed_out.is_(False),
        ),
        sa.case((_IS_ORDERED, _IN_FLIGHT == 0), else_=_IN_FLIGHT < MOST_CLAIMED),
        _DUE_SINCE.is_not(None),
        sa.or_(_IS_CLOSED, _HAS_SINGLE),
    )
    .order_by(_IN_FLIGHT, _DUE_SINCE)
    .limit(sa.bindparam("most", type_=sa.Integer)),
)


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
    size: Query(_Due, _firsts_of(size, MOST_IN_FLIGHT, _BY_TIME, _IS_DUE)) for size in _SIZES
}
_LONG_DUE = {
    size: Query(_Due, _firsts_of(size, MOST_CLAIMED, _BY_TIME, _IS_DUE)) for size in _SIZES
}
_HANDED_IN = {
    size: Query(_Due, _firsts_of(size, MOST_IN_FLIGHT, _BY_TIME, _IS_DUE, _IS_SINGLE))
    for size in _SIZES
}
_NEXT_IN_PLACE = {
    size: Query(_Due, _firsts_of(size, MOST_IN_ORDER, _IN_PLACE, _IS_DUE)) for size in _SIZES
}
# Left by a worker that died: their leases have put them behind those that came after them.
_LEFT_BEHIND = {
    size: Query(_Due, _firsts_of(size, MOST_IN_ORDER, _IN_PLACE, _IS_DUE, _IS_LEFT_BEHIND))
    for size in _SIZES
}


def is_any_busy(database: Database, free: FreeThreads, now: datetime) -> bool:
    """Return whether `endpoints` may find any, at a fraction of its cost."""
    return _BUSY.read(database, **_wanted(free, now)) is not None


def endpoints(session: Session, free: FreeThreads, now: datetime) -> list[Candidate]:
    """Return endpoints with something due, the least loaded first; at most one for each free thread."""
    candidates = [_candidate(row, free) for row in _BUSY.all(session, **_wanted(free, now))]
    return [candidate for candidate in candidates if candidate.allowed > 0]


def deliveries(session: Session, candidates: Sequence[Candidate], now: datetime) -> list[list[str]]:
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


def _wanted(free: FreeThreads, now: datetime) -> dict[str, object]:
    return {"now": now, "most": free.threads, "has_slow_threads": free.slow_threads > 0}


def _candidate(row: _Busy, free: FreeThreads) -> Candidate:
    allowed = MOST_IN_ORDER if row.is_ordered else _most(row, free) - row.in_flight
    is_probed = row.consecutive_failures >= FAILURES_TO_OPEN
    return Candidate(
        row.id,
        row.in_flight,
        row.has_timed_out,
        row.has_single,
        allowed,
        0 if not row.is_closed else 1 if is_probed else allowed,
        row.is_ordered,
    )


def _most(row: _Busy, free: FreeThreads) -> int:
    """Return how many deliveries of the endpoint may be claimed at the same time, by all workers together."""
    is_shared = row.in_flight > free.claimed.get(row.id, 0)
    if is_shared or row.has_timed_out or row.consecutive_failures:
        return MOST_IN_FLIGHT
    return min(MOST_CLAIMED, MOST_IN_FLIGHT + free.ahead.get(row.id, 0))


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
