"""Settles attempts that have ended, many in one transaction, by the rules of `outcomes`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...store.arrays import is_any_of
from ...store.inserts import Insert
from ...store.models import Attempt, Delivery, WebhookEndpoint
from ...store.queries import Change, Query, not_null
from ...store.tables import plain
from . import delivery_statuses, outcomes
from .outcomes import RetryRule
from .retries import AttemptResult


@dataclass(frozen=True)
class Finished:
    """A claim that has ended, with the result of its attempt; `None` if nothing was sent."""

    endpoint_id: str
    delivery_id: str
    claim: str
    result: AttemptResult | None


class _Endpoint(NamedTuple):
    id: str
    failing_since: datetime | None


class _OpenDelivery(NamedTuple):
    id: str
    claim: str
    attempt_count: int
    is_manual: bool


class _MadeAttempt(NamedTuple):
    id: str
    delivery_id: str
    started_at: datetime
    duration_seconds: float
    status_code: int | None
    error: str | None
    detail: str | None
    response_text: str | None
    is_manual: bool


_WANTED: sa.BindParameter[Sequence[str]] = sa.bindparam("wanted", expanding=True)
_CHOSEN: sa.BindParameter[Sequence[str]] = sa.bindparam("chosen", expanding=True)
_LOCK_ENDPOINTS = Query(
    _Endpoint,
    sa.select(WebhookEndpoint.id, WebhookEndpoint.failing_since)
    .where(WebhookEndpoint.id.in_(_WANTED))
    .order_by(WebhookEndpoint.id)
    .with_for_update(key_share=True),
)
_LOCK_DELIVERIES = Query(
    _OpenDelivery,
    lambda dialect: (
        sa.select(Delivery.id, not_null(Delivery.claim), Delivery.attempt_count, Delivery.is_manual)
        .where(is_any_of(Delivery.id, "wanted", dialect), Delivery.claim.is_not(None))
        .order_by(Delivery.id)
        .with_for_update()
    ),
)
_DELIVERED = Change(
    lambda dialect: (
        sa.update(plain(Delivery))
        .where(is_any_of(Delivery.id, "chosen", dialect))
        .values(
            {
                Delivery.status: delivery_statuses.DELIVERED,
                Delivery.attempt_count: Delivery.attempt_count + 1,
                Delivery.claim: None,
                Delivery.is_manual: False,
                Delivery.next_attempt_at: None,
                Delivery.settled_at: sa.bindparam("now"),
            }
        )
    )
)
_DUE_AGAIN = Change(
    lambda dialect: (
        sa.update(plain(Delivery))
        .where(is_any_of(Delivery.id, "chosen", dialect))
        # In its old place: an endpoint that keeps the order takes what has been due for longest.
        .values({Delivery.claim: None, Delivery.next_attempt_at: Delivery.created_at})
    )
)
_SUCCEEDED = Change(
    sa.update(plain(WebhookEndpoint))
    .where(WebhookEndpoint.id.in_(_CHOSEN))
    .values({WebhookEndpoint.last_success_at: sa.bindparam("now")})
)
_ATTEMPTS = Insert(Attempt, _MadeAttempt)


def settle(
    session: Session, finished: Sequence[Finished], rule: RetryRule, now: datetime
) -> list[Finished]:
    """Store attempts and their consequences.

    Returns those whose claim is no longer ours, for which nothing is changed: another worker has the delivery.
    """
    # The endpoints first, and in one order, as everywhere: two orders of taking locks end in a deadlock.
    endpoint_ids = sorted({one.endpoint_id for one in finished})
    endpoints = {row.id: row for row in _LOCK_ENDPOINTS.all(session, wanted=endpoint_ids)}
    delivery_ids = sorted({one.delivery_id for one in finished})
    deliveries = {row.id: row for row in _LOCK_DELIVERIES.all(session, wanted=delivery_ids)}
    claims = {row.id: row.claim for row in deliveries.values()}
    ours = [one for one in finished if claims.get(one.delivery_id) == one.claim]
    sent = [(one, one.result) for one in ours if one.result is not None]
    _give_back(session, [one for one in ours if one.result is None])
    _write_down(session, sent, deliveries)
    # If one attempt of an endpoint is not a plain success, all of its attempts are handled in the order they ended.
    special = {
        one.endpoint_id
        for one, result in sent
        if endpoints[one.endpoint_id].failing_since is not None
        or deliveries[one.delivery_id].attempt_count > 0
        or not result.is_success
    }
    _take_as_delivered(session, [one for one, _ in sent if one.endpoint_id not in special], now)
    for one, result in sent:
        if one.endpoint_id in special:
            outcomes.follow(session, one.delivery_id, result, rule, now)
    return [one for one in finished if claims.get(one.delivery_id) != one.claim]


def _give_back(session: Session, unsent: Sequence[Finished]) -> None:
    if unsent:
        _DUE_AGAIN.run(session, chosen=[one.delivery_id for one in unsent])


def _write_down(
    session: Session,
    sent: Sequence[tuple[Finished, AttemptResult]],
    deliveries: Mapping[str, _OpenDelivery],
) -> None:
    rows = [
        _MadeAttempt(
            id=ids.new_attempt_id(),
            delivery_id=one.delivery_id,
            started_at=result.started_at,
            duration_seconds=result.duration_seconds,
            status_code=result.status_code,
            error=result.error,
            detail=result.detail,
            response_text=result.response_text,
            is_manual=deliveries[one.delivery_id].is_manual,
        )
        for one, result in sent
    ]
    _ATTEMPTS.all(session, rows)


def _take_as_delivered(session: Session, everyday: Sequence[Finished], now: datetime) -> None:
    """Settle plain successes all at once: first attempts that succeeded, to endpoints without failures."""
    if not everyday:
        return
    _DELIVERED.run(session, chosen=[one.delivery_id for one in everyday], now=now)
    endpoint_ids = sorted({one.endpoint_id for one in everyday})
    _SUCCEEDED.run(session, chosen=endpoint_ids, now=now)
