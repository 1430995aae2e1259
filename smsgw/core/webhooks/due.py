"""Finds the endpoints with something due, and how much each of them may get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.db import Database
from ...store.models import Delivery, WebhookEndpoint
from ...store.queries import Query
from .delivery_statuses import IS_PENDING
from .retries import FAILURES_TO_OPEN

MOST_IN_FLIGHT = 4
# For an endpoint that only one worker serves, with those that wait there for others to end.
MOST_CLAIMED = 128
# For an endpoint that keeps the order: no more before the last of them has ended.
MOST_IN_ORDER = 16


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


_IS_ORDERED = sa.func.lower(sa.func.substr(WebhookEndpoint.url, 1, 4)) == "amqp"
NOW = sa.bindparam("now", type_=Delivery.created_at.type)
IS_DUE = sa.and_(IS_PENDING, Delivery.next_attempt_at <= NOW)
IS_SINGLE = Delivery.retry_step.is_(None)
_IS_OF_ENDPOINT = Delivery.endpoint_id == WebhookEndpoint.id
_IN_FLIGHT = (
    sa.select(sa.func.count())
    .where(_IS_OF_ENDPOINT, Delivery.claim.is_not(None), Delivery.next_attempt_at > NOW)
    .scalar_subquery()
)
_DUE_SINCE = (
    sa.select(Delivery.next_attempt_at)
    .where(_IS_OF_ENDPOINT, IS_DUE)
    .order_by(Delivery.next_attempt_at)
    .limit(1)
    .scalar_subquery()
)
# Each is counted and searched once: written out wherever it is used, it would be executed again for each place. Only an
# OFFSET keeps the databases from doing that themselves.
_ENDPOINTS = (
    sa.select(
        WebhookEndpoint.id,
        WebhookEndpoint.has_timed_out,
        WebhookEndpoint.consecutive_failures,
        WebhookEndpoint.paused_until,
        _IS_ORDERED.label("is_ordered"),
        _IN_FLIGHT.label("in_flight"),
        _DUE_SINCE.label("due_since"),
    )
    .where(
        WebhookEndpoint.enabled,
        WebhookEndpoint.removed_at.is_(None),
        sa.or_(
            sa.bindparam("has_slow_threads", type_=sa.Boolean),
            WebhookEndpoint.has_timed_out.is_(False),
        ),
    )
    .offset(sa.literal_column("0"))
    .subquery()
    .c
)
_HAS_SINGLE = sa.exists().where(Delivery.endpoint_id == _ENDPOINTS.id, IS_DUE, IS_SINGLE)
_IS_CLOSED = sa.and_(
    sa.or_(_ENDPOINTS.paused_until.is_(None), _ENDPOINTS.paused_until <= NOW),
    sa.or_(_ENDPOINTS.consecutive_failures < FAILURES_TO_OPEN, _ENDPOINTS.in_flight == 0),
)
_BUSY = Query(
    _Busy,
    sa.select(
        _ENDPOINTS.id,
        _ENDPOINTS.has_timed_out,
        _ENDPOINTS.consecutive_failures,
        _ENDPOINTS.in_flight,
        _IS_CLOSED.label("is_closed"),
        _HAS_SINGLE.label("has_single"),
        _ENDPOINTS.is_ordered,
    )
    .where(
        sa.case(
            (_ENDPOINTS.is_ordered, _ENDPOINTS.in_flight == 0),
            else_=_ENDPOINTS.in_flight < MOST_CLAIMED,
        ),
        _ENDPOINTS.due_since.is_not(None),
        sa.or_(_IS_CLOSED, _HAS_SINGLE),
    )
    .order_by(_ENDPOINTS.in_flight, _ENDPOINTS.due_since)
    .limit(sa.bindparam("most", type_=sa.Integer)),
)


def is_any_busy(database: Database, free: FreeThreads, now: datetime) -> bool:
    """Return whether `endpoints` may find any, at a fraction of its cost."""
    return _BUSY.read(database, **_wanted(free, now)) is not None


def endpoints(session: Session, free: FreeThreads, now: datetime) -> list[Candidate]:
    """Return endpoints with something due, the least loaded first; at most one for each free thread."""
    candidates = [_candidate(row, free) for row in _BUSY.all(session, **_wanted(free, now))]
    return [candidate for candidate in candidates if candidate.allowed > 0]


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
