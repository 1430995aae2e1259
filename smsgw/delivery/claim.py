"""Taking due deliveries: for a while, and so that no endpoint gets more than its share of the threads."""

import heapq
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import webhooks
from ..core.retries import FAILURES_TO_OPEN
from ..core.rows import DELIVERIES
from ..store.db import is_postgresql, run
from ..store.models import Delivery, Event, WebhookEndpoint

MOST_IN_FLIGHT = 4


@dataclass(frozen=True)
class Claimed:
    """A delivery that is ours from `taken_at` until its lease ends, with all that is needed to send it.

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
    taken_at: datetime


@dataclass(frozen=True)
class Room:
    """For how many deliveries threads are free or soon will be, and how many of these may be for endpoints that ran
    into the timeout."""

    threads: int
    slow_threads: int


@dataclass(frozen=True)
class _Candidate:
    """An endpoint with something due. `room` is how many more requests it may get at the same time; `probe_room`
    is the same as the breaker sees it, which does not hold up single attempts: somebody waits for their outcome."""

    endpoint_id: str
    in_flight: int
    is_slow: bool
    has_single: bool
    room: int
    probe_room: int


def is_due(session: Session, room: Room, now: datetime) -> bool:
    """Whether `take` would find something. Most looks find nothing, and this one takes no lock."""
    return bool(_candidates(session, room, now))


def take(session: Session, room: Room, lease_until: datetime, now: datetime) -> list[Claimed]:
    """Takes as many due deliveries as there is room for, the least loaded endpoints first.

    The cost goes by the number of endpoints and threads, not by how many deliveries wait or are done. An endpoint
    that another worker is looking at right now is left out.
    """
    candidates = _candidates(session, room, now)
    if candidates and is_postgresql(session):
        locked = _lock(session, [candidate.endpoint_id for candidate in candidates])
        # Another worker may have taken some before we had the locks, so look again.
        again = _candidates(session, room, now)
        candidates = [candidate for candidate in again if candidate.endpoint_id in locked]
    chosen = _choose(session, candidates, room, now)
    if not chosen:
        return []
    claim = secrets.token_hex(16)
    values = {"chosen": chosen, "claimed_by": claim, "until": lease_until}
    run(session, _CLAIM, values)
    return _claimed(session, chosen, claim, now)


def _candidates(session: Session, room: Room, now: datetime) -> list[_Candidate]:
    values = {"now": now, "most": room.threads, "has_slow_room": room.slow_threads > 0}
    return [_candidate(row) for row in run(session, _BUSY, values)]


def _candidate(row: sa.Row[Any]) -> _Candidate:
    room = MOST_IN_FLIGHT - row.in_flight
    is_probed = row.consecutive_failures >= FAILURES_TO_OPEN
    return _Candidate(
        row.id,
        row.in_flight,
        row.has_timed_out,
        row.has_single,
        room,
        0 if not row.is_closed else 1 if is_probed else room,
    )


def _lock(session: Session, endpoint_ids: Sequence[str]) -> set[str]:
    return {row.id for row in run(session, _LOCK, {"chosen": endpoint_ids})}


def _choose(
    session: Session, candidates: Sequence[_Candidate], room: Room, now: datetime
) -> list[str]:
    """Deals out the free threads one by one, each to the endpoint that has the fewest requests by then."""
    due = _due(session, candidates, now)
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


def _due(session: Session, candidates: Sequence[_Candidate], now: datetime) -> list[list[str]]:
    """What each endpoint would get next, single attempts first, then what has been due for longest."""
    by_hand = [candidate.endpoint_id for candidate in candidates if candidate.has_single]
    singles = _firsts(session, _HANDED_IN, by_hand, now)
    longest = _firsts(session, _LONGEST_DUE, [each.endpoint_id for each in candidates], now)
    return [
        list(
            dict.fromkeys(
                singles[each.endpoint_id][: each.room]
                + longest[each.endpoint_id][: each.probe_room]
            )
        )[: each.room]
        for each in candidates
    ]


def _firsts(
    session: Session, arms: "_Arms", endpoint_ids: Sequence[str], now: datetime
) -> dict[str, list[str]]:
    """The first few due deliveries of each endpoint, with one statement for all."""
    found: dict[str, list[str]] = defaultdict(list)
    if endpoint_ids:
        # Up to a power of two, so that there are few statements to make; there is no endpoint called "".
        wanted = [
            *endpoint_ids,
            *[""] * ((1 << (len(endpoint_ids) - 1).bit_length()) - len(endpoint_ids)),
        ]
        names = {f"endpoint_{place}": endpoint for place, endpoint in enumerate(wanted)}
        rows = run(session, arms(len(wanted)), {"now": now, **names})
        for row in sorted(rows, key=attrgetter("next_attempt_at")):
            found[row.endpoint_id].append(row.id)
    return found


def _claimed(
    session: Session, delivery_ids: Sequence[str], claim: str, now: datetime
) -> list[Claimed]:
    rows = run(session, _WHAT_TO_SEND, {"chosen": delivery_ids})
    return [
        Claimed(
            row.delivery_id,
            row.endpoint_id,
            claim,
            row.event_id,
            row.type,
            row.body.encode(),
            row.url,
            webhooks.secrets(row, now),
            row.has_timed_out,
            now,
        )
        for row in rows
    ]


# Written out, not bound: a partial index is used only where its condition stands in the query.
_IS_PENDING = Delivery.status == sa.literal_column("'pending'")
_NOW = sa.bindparam("now", type_=Delivery.created_at.type)
_CHOSEN: sa.BindParameter[Sequence[str]] = sa.bindparam("chosen", expanding=True)
_IS_DUE = sa.and_(_IS_PENDING, Delivery.next_attempt_at <= _NOW)
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
_BUSY = (
    sa.select(
        WebhookEndpoint.id,
        WebhookEndpoint.has_timed_out,
        WebhookEndpoint.consecutive_failures,
        _IN_FLIGHT.label("in_flight"),
        _IS_CLOSED.label("is_closed"),
        _HAS_SINGLE.label("has_single"),
    )
    .where(
        WebhookEndpoint.enabled,
        WebhookEndpoint.removed_at.is_(None),
        sa.or_(
            sa.bindparam("has_slow_room", type_=sa.Boolean),
            WebhookEndpoint.has_timed_out.is_(False),
        ),
        _IN_FLIGHT < MOST_IN_FLIGHT,
        _DUE_SINCE.is_not(None),
        sa.or_(_IS_CLOSED, _HAS_SINGLE),
    )
    .order_by(_IN_FLIGHT, _DUE_SINCE)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_LOCK = (
    sa.select(WebhookEndpoint.id)
    .where(WebhookEndpoint.id.in_(_CHOSEN))
    .with_for_update(skip_locked=True, key_share=True)
)
_CLAIM = (
    sa.update(DELIVERIES)
    .where(DELIVERIES.c.id.in_(_CHOSEN))
    .values(claim=sa.bindparam("claimed_by"), next_attempt_at=sa.bindparam("until"))
)
_WHAT_TO_SEND: sa.Select[*tuple[Any, ...]] = (
    sa.select(
        Delivery.id.label("delivery_id"),
        Delivery.endpoint_id,
        Delivery.event_id,
        Event.type,
        Event.body,
        WebhookEndpoint.url,
        WebhookEndpoint.secrets,
        WebhookEndpoint.has_timed_out,
    )
    .join(Event, Event.id == Delivery.event_id)
    .join(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
    .where(Delivery.id.in_(_CHOSEN))
)

_Arms = Callable[[int], sa.CompoundSelect[Any]]


def _arms(*conditions: sa.ColumnElement[bool]) -> _Arms:
    """Statements that find the first due deliveries of so many endpoints: each looks no further than it must."""

    def one(place: int) -> sa.Select[Any]:
        first = (
            sa.select(Delivery.endpoint_id, Delivery.id, Delivery.next_attempt_at)
            .where(Delivery.endpoint_id == sa.bindparam(f"endpoint_{place}"), *conditions)
            .order_by(Delivery.next_attempt_at)
            .limit(MOST_IN_FLIGHT)
            .subquery()
        )
        return sa.select(first)

    return cache(lambda count: sa.union_all(*(one(place) for place in range(count))))


_LONGEST_DUE = _arms(_IS_DUE)
_HANDED_IN = _arms(_IS_DUE, _IS_SINGLE)
