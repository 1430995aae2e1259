"""Taking due deliveries: for a while, and so that no endpoint gets more than its share of the threads."""

import heapq
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import webhooks
from ..core.retries import FAILURES_TO_OPEN
from ..store.models import Delivery, Event, WebhookEndpoint

MOST_IN_FLIGHT = 4


@dataclass(frozen=True)
class Claimed:
    """A delivery that is ours until its lease ends, with all that is needed to send it.

    `is_slow` says that the endpoint's last attempt ran into the timeout.
    """

    delivery_id: str
    endpoint_id: str
    claim: str
    event_id: str
    event_type: str
    body: bytes
    url: str
    secrets: list[str]
    is_slow: bool


@dataclass(frozen=True)
class Room:
    """How many threads are free, and how many of these may go to endpoints that ran into the timeout."""

    threads: int
    slow_threads: int


@dataclass(frozen=True)
class _Candidate:
    """An endpoint with something due. `room` is how many more requests it may get at the same time; `probe_room`
    is the same as the breaker sees it, which does not hold up single attempts: somebody waits for their outcome."""

    endpoint_id: str
    in_flight: int
    is_slow: bool
    room: int
    probe_room: int


def is_due(session: Session, room: Room, now: datetime) -> bool:
    """Whether `take` would find something. Most looks find nothing, and this one takes no lock."""
    return bool(_candidates(session, room, now, sa.true()))


def take(session: Session, room: Room, lease_until: datetime, now: datetime) -> list[Claimed]:
    """Takes as many due deliveries as there is room for, the least loaded endpoints first.

    The cost goes by the number of endpoints and threads, not by how many deliveries wait or are done. An endpoint
    that another worker is looking at right now is left out.
    """
    seen = _candidates(session, room, now, sa.true())
    locked = _lock(session, [candidate.endpoint_id for candidate in seen])
    # Another worker may have taken some before we had the locks, so look again.
    candidates = _candidates(session, room, now, WebhookEndpoint.id.in_(locked))
    chosen = _choose(session, candidates, room, now)
    claim = secrets.token_hex(16)
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(chosen))
        .values(claim=claim, next_attempt_at=lease_until),
        execution_options={"synchronize_session": False},
    )
    return _claimed(session, chosen, claim, now)


# Written out, not bound: a partial index is used only where its condition stands in the query.
_IS_PENDING = Delivery.status == sa.literal_column("'pending'")
_NOW = sa.bindparam("now", type_=Delivery.created_at.type)
_IS_DUE = sa.and_(_IS_PENDING, Delivery.next_attempt_at <= _NOW)
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
_HAS_SINGLE = sa.exists().where(_IS_OF_ENDPOINT, _IS_DUE, Delivery.retry_step.is_(None))
_IS_CLOSED = sa.and_(
    sa.or_(WebhookEndpoint.paused_until.is_(None), WebhookEndpoint.paused_until <= _NOW),
    sa.or_(WebhookEndpoint.consecutive_failures < FAILURES_TO_OPEN, _IN_FLIGHT == 0),
)
_BUSY = (
    sa.select(
        WebhookEndpoint.id,
        WebhookEndpoint.has_timed_out,
        _IN_FLIGHT.label("in_flight"),
        _IS_CLOSED.label("is_closed"),
        WebhookEndpoint.consecutive_failures,
    )
    .where(
        WebhookEndpoint.enabled,
        WebhookEndpoint.removed_at.is_(None),
        _IN_FLIGHT < MOST_IN_FLIGHT,
        _DUE_SINCE.is_not(None),
        sa.or_(_IS_CLOSED, _HAS_SINGLE),
    )
    .order_by(_IN_FLIGHT, _DUE_SINCE)
)


def _candidates(
    session: Session, room: Room, now: datetime, condition: sa.ColumnElement[bool]
) -> list[_Candidate]:
    statement = _BUSY.where(condition).limit(room.threads)
    if room.slow_threads <= 0:
        statement = statement.where(WebhookEndpoint.has_timed_out.is_(False))
    return [_candidate(row) for row in session.execute(statement, {"now": now})]


def _candidate(row: sa.Row[str, bool, int, bool, int]) -> _Candidate:
    endpoint_id, is_slow, in_flight, is_closed, failures = row
    room = MOST_IN_FLIGHT - in_flight
    return _Candidate(
        endpoint_id,
        in_flight,
        is_slow,
        room,
        0 if not is_closed else 1 if failures >= FAILURES_TO_OPEN else room,
    )


def _lock(session: Session, endpoint_ids: Sequence[str]) -> list[str]:
    return list(
        session.scalars(
            sa.select(WebhookEndpoint.id)
            .where(WebhookEndpoint.id.in_(endpoint_ids))
            .with_for_update(skip_locked=True, key_share=True)
        )
    )


def _choose(
    session: Session, candidates: Sequence[_Candidate], room: Room, now: datetime
) -> list[str]:
    """Deals out the free threads one by one, each to the endpoint that has the fewest requests by then."""
    due = [_due(session, candidate, now) for candidate in candidates]
    slow_threads = room.slow_threads
    chosen: list[str] = []
    heap = [(candidate.in_flight, place) for place, candidate in enumerate(candidates)]
    heapq.heapify(heap)
    while heap and len(chosen) < room.threads:
        load, place = heapq.heappop(heap)
        if not due[place] or (candidates[place].is_slow and slow_threads <= 0):
            continue
        slow_threads -= candidates[place].is_slow
        chosen.append(due[place].pop(0))
        heapq.heappush(heap, (load + 1, place))
    return chosen


def _due(session: Session, candidate: _Candidate, now: datetime) -> list[str]:
    """What the endpoint would get next, single attempts first, then what has been due for longest."""
    due = (
        sa.select(Delivery.id)
        .where(Delivery.endpoint_id == candidate.endpoint_id, _IS_DUE)
        .order_by(Delivery.next_attempt_at)
    )
    single = due.where(Delivery.retry_step.is_(None)).limit(candidate.room)
    found = [
        *session.scalars(single, {"now": now}),
        *session.scalars(due.limit(candidate.probe_room), {"now": now}),
    ]
    return list(dict.fromkeys(found))[: candidate.room]


def _claimed(
    session: Session, delivery_ids: Sequence[str], claim: str, now: datetime
) -> list[Claimed]:
    rows = session.execute(
        sa.select(Delivery, Event, WebhookEndpoint)
        .join(Event, Event.id == Delivery.event_id)
        .join(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .where(Delivery.id.in_(delivery_ids))
    )
    return [
        Claimed(
            delivery.id,
            endpoint.id,
            claim,
            event.id,
            event.type,
            event.body.encode(),
            endpoint.url,
            webhooks.secrets(endpoint, now),
            endpoint.has_timed_out,
        )
        for delivery, event, endpoint in rows
    ]
