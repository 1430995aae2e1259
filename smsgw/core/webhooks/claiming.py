"""Claims due deliveries under a lease, so that no endpoint gets more than its share of the threads."""

import heapq
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.arrays import is_any_of
from ...store.db import Database, is_postgresql
from ...store.models import Delivery, Event, WebhookEndpoint
from ...store.queries import Query
from ...store.tables import plain
from . import due, next_deliveries
from . import secrets as signing_secrets
from .due import Candidate, FreeThreads


@dataclass(frozen=True)
class Claimed:
    """A delivery that this worker has from `taken_at` until its lease ends, with all that is needed to send it.

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


class _Taken(NamedTuple):
    """A delivery that was claimed."""

    id: str
    endpoint_id: str
    event_id: str


class _ToSend(NamedTuple):
    """An event to send, with its place in the feed: (tx, seq)."""

    id: str
    type: str
    body: str
    tx: int
    seq: int


class _SendingTo(NamedTuple):
    """The URL of an endpoint and the secrets to sign with."""

    id: str
    url: str
    secrets: list[dict[str, str | None]]
    has_timed_out: bool


_CHOSEN: sa.BindParameter[Sequence[str]] = sa.bindparam("chosen", expanding=True)
_LOCK = Query(
    str,
    sa.select(WebhookEndpoint.id)
    .where(WebhookEndpoint.id.in_(_CHOSEN))
    .with_for_update(skip_locked=True, key_share=True),
)
_CLAIM = Query(
    _Taken,
    lambda dialect: (
        sa.update(plain(Delivery))
        .where(is_any_of(Delivery.id, "chosen", dialect))
        .values(
            {
                Delivery.claim: sa.bindparam("claimed_by"),
                Delivery.next_attempt_at: sa.bindparam("until"),
            }
        )
        .returning(Delivery.id, Delivery.endpoint_id, Delivery.event_id)
    ),
)
# Not joined to the deliveries: planned in a new database, the join reads all events there will ever be.
_EVENTS = Query(
    _ToSend,
    lambda dialect: sa.select(Event.id, Event.type, Event.body, Event.tx, Event.seq).where(
        is_any_of(Event.id, "chosen", dialect)
    ),
)
_RECEIVERS = Query(
    _SendingTo,
    sa.select(
        WebhookEndpoint.id,
        WebhookEndpoint.url,
        WebhookEndpoint.secrets,
        WebhookEndpoint.has_timed_out,
    ).where(WebhookEndpoint.id.in_(_CHOSEN)),
)


def is_due(database: Database, free: FreeThreads, now: datetime) -> bool:
    """Return whether `take` would find anything. Takes no lock, because mostly there is nothing."""
    if not due.is_any_busy(database, free, now):
        return False
    with database.reading() as session:
        return bool(due.endpoints(session, free, now))


def take(
    session: Session, free: FreeThreads, lease_until: datetime, now: datetime
) -> list[Claimed]:
    """Take as many due deliveries as threads are free for, the least loaded endpoints first.

    The cost depends on the number of endpoints and threads, not of deliveries. An endpoint that another worker has
    locked is left out.
    """
    candidates = due.endpoints(session, free, now)
    if candidates and is_postgresql(session):
        wanted = [candidate.endpoint_id for candidate in candidates]
        locked = set(_LOCK.all(session, chosen=wanted))
        # Another worker may have taken some before we had the locks.
        again = due.endpoints(session, free, now)
        candidates = [candidate for candidate in again if candidate.endpoint_id in locked]
    chosen = _choose(session, candidates, free, now)
    if not chosen:
        return []
    claim = secrets.token_hex(16)
    taken = _CLAIM.all(session, chosen=chosen, claimed_by=claim, until=lease_until)
    return _claimed(session, taken, claim, now)


def _choose(
    session: Session, candidates: Sequence[Candidate], free: FreeThreads, now: datetime
) -> list[str]:
    """Assign the free threads one by one, each to the endpoint that has the fewest requests by then."""
    waiting = next_deliveries.of_endpoints(session, candidates, now)
    slow_threads = free.slow_threads
    chosen: list[str] = []
    heap = [(candidate.in_flight, place) for place, candidate in enumerate(candidates)]
    heapq.heapify(heap)
    while heap and len(chosen) < free.threads:
        load, place = heapq.heappop(heap)
        if not waiting[place] or (candidates[place].is_slow and slow_threads <= 0):
            continue
        slow_threads -= candidates[place].is_slow
        chosen.append(waiting[place].pop(0))
        heapq.heappush(heap, (load + 1, place))
    return chosen


def _claimed(session: Session, taken: Sequence[_Taken], claim: str, now: datetime) -> list[Claimed]:
    """Return what is needed to send them, in the feed's order."""
    event_ids = sorted({row.event_id for row in taken})
    events = {row.id: row for row in _EVENTS.all(session, chosen=event_ids)}
    endpoint_ids = sorted({row.endpoint_id for row in taken})
    receivers = {row.id: row for row in _RECEIVERS.all(session, chosen=endpoint_ids)}
    live = {row.id: signing_secrets.live(row, now) for row in receivers.values()}
    claimed = [(events[row.event_id], row.id, receivers[row.endpoint_id]) for row in taken]
    claimed.sort(key=lambda it: (it[0].tx, it[0].seq, it[1]))
    return [
        Claimed(
            delivery_id,
            receiver.id,
            claim,
            event.id,
            event.type,
            event.body.encode(),
            receiver.url,
            live[receiver.id],
            receiver.has_timed_out,
            now,
        )
        for event, delivery_id, receiver in claimed
    ]
