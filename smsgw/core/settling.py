"""Settling: writing down attempts that have ended, many in one transaction; `outcomes` says what follows from one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .. import ids
from ..store.db import insert, run
from ..store.models import Attempt, Delivery, WebhookEndpoint
from . import outcomes
from .outcomes import RetryRule
from .retries import Result
from .rows import DELIVERIES, ENDPOINTS


@dataclass(frozen=True)
class Finished:
    """A claim that has ended: of which delivery, and what came of its attempt. Without a result it was not sent."""

    endpoint_id: str
    delivery_id: str
    claim: str
    result: Result | None


def settle(
    session: Session, finished: Sequence[Finished], rule: RetryRule, now: datetime
) -> list[Finished]:
    """Writes down attempts and what follows from them.

    Returns those whose claim is not ours any more, for which nothing has changed: somebody else has the delivery.
    """
    # The endpoints first, as everybody does, and in one order: two orders of taking locks end in a deadlock.
    endpoints = _lock(session, _LOCK_ENDPOINTS, {one.endpoint_id for one in finished})
    deliveries = _lock(session, _LOCK_DELIVERIES, {one.delivery_id for one in finished})
    claims = {row.id: row.claim for row in deliveries.values()}
    ours = [one for one in finished if claims.get(one.delivery_id) == one.claim]
    sent = [(one, one.result) for one in ours if one.result is not None]
    _give_back(session, [one for one in ours if one.result is None], now)
    _write_down(session, sent, deliveries)
    # All of an endpoint in the order in which they ended, as soon as one is not everyday: its failures are counted.
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


def _lock(
    session: Session, statement: sa.Select[*tuple[Any, ...]], wanted: Collection[str]
) -> dict[str, sa.Row[Any]]:
    return {row.id: row for row in run(session, statement, {"wanted": sorted(wanted)})}


def _give_back(session: Session, unsent: Sequence[Finished], now: datetime) -> None:
    if unsent:
        values = {"chosen": [one.delivery_id for one in unsent], "now": now}
        run(session, _DUE_AGAIN, values)


def _write_down(
    session: Session, sent: Sequence[tuple[Finished, Result]], deliveries: Mapping[str, sa.Row[Any]]
) -> None:
    rows = [
        {
            "id": ids.new_attempt_id(),
            "delivery_id": one.delivery_id,
            "started_at": result.started_at,
            "duration_seconds": result.duration_seconds,
            "status_code": result.status_code,
            "error": result.error,
            "detail": result.detail,
            "response_text": result.response_text,
            "is_manual": deliveries[one.delivery_id].is_manual,
        }
        for one, result in sent
    ]
    insert(session, Attempt, rows)


def _take_as_delivered(session: Session, plain: Sequence[Finished], now: datetime) -> None:
    """The everyday case, all at once: first attempts that got through to endpoints without a failure."""
    if not plain:
        return
    deliveries = {"chosen": [one.delivery_id for one in plain], "now": now}
    run(session, _DELIVERED, deliveries)
    endpoints = {"chosen": sorted({one.endpoint_id for one in plain}), "now": now}
    run(session, _SUCCEEDED, endpoints)


_WANTED: sa.BindParameter[Sequence[str]] = sa.bindparam("wanted", expanding=True)
_CHOSEN: sa.BindParameter[Sequence[str]] = sa.bindparam("chosen", expanding=True)
_LOCK_ENDPOINTS = (
    sa.select(WebhookEndpoint.id, WebhookEndpoint.failing_since)
    .where(WebhookEndpoint.id.in_(_WANTED))
    .order_by(WebhookEndpoint.id)
    .with_for_update(key_share=True)
)
_LOCK_DELIVERIES = (
    sa.select(Delivery.id, Delivery.claim, Delivery.attempt_count, Delivery.is_manual)
    .where(Delivery.id.in_(_WANTED), Delivery.claim.is_not(None))
    .order_by(Delivery.id)
    .with_for_update()
)
_DELIVERED = (
    sa.update(DELIVERIES)
    .where(DELIVERIES.c.id.in_(_CHOSEN))
    .values(
        status="delivered",
        attempt_count=DELIVERIES.c.attempt_count + 1,
        claim=None,
        is_manual=False,
        next_attempt_at=None,
        settled_at=sa.bindparam("now"),
    )
)
_DUE_AGAIN = (
    sa.update(DELIVERIES)
    .where(DELIVERIES.c.id.in_(_CHOSEN))
    .values(claim=None, next_attempt_at=sa.bindparam("now"))
)
_SUCCEEDED = (
    sa.update(ENDPOINTS)
    .where(ENDPOINTS.c.id.in_(_CHOSEN))
    .values(last_success_at=sa.bindparam("now"))
)
