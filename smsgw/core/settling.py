"""Settling: writing down attempts that have ended, many in one transaction; `outcomes` says what follows from one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .. import ids
from ..store.db import insert
from ..store.models import Attempt, Delivery, WebhookEndpoint
from . import outcomes
from .outcomes import RetryRule
from .retries import Result
from .rows import DELIVERIES, ENDPOINTS


@dataclass(frozen=True)
class Finished:
    """An attempt that has ended: of which delivery, under which claim, and what came of it."""

    endpoint_id: str
    delivery_id: str
    claim: str
    result: Result


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
    _write_down(session, ours, deliveries)
    # All of an endpoint in the order in which they ended, as soon as one is not everyday: its failures are counted.
    special = {
        one.endpoint_id
        for one in ours
        if endpoints[one.endpoint_id].failing_since is not None
        or deliveries[one.delivery_id].attempt_count > 0
        or not one.result.is_success
    }
    _take_as_delivered(session, [one for one in ours if one.endpoint_id not in special], now)
    for one in ours:
        if one.endpoint_id in special:
            outcomes.follow(session, one.delivery_id, one.result, rule, now)
    return [one for one in finished if claims.get(one.delivery_id) != one.claim]


def _lock(
    session: Session, statement: sa.Select[*tuple[Any, ...]], wanted: Collection[str]
) -> dict[str, sa.Row[Any]]:
    found = session.connection().execute(statement, {"wanted": sorted(wanted)})
    return {row.id: row for row in found}


def _write_down(
    session: Session, ours: Sequence[Finished], deliveries: Mapping[str, sa.Row[Any]]
) -> None:
    rows = [
        {
            "id": ids.new_attempt_id(),
            "delivery_id": one.delivery_id,
            "started_at": one.result.started_at,
            "duration_seconds": one.result.duration_seconds,
            "status_code": one.result.status_code,
            "error": one.result.error,
            "detail": one.result.detail,
            "response_text": one.result.response_text,
            "is_manual": deliveries[one.delivery_id].is_manual,
        }
        for one in ours
    ]
    insert(session, Attempt, rows)


def _take_as_delivered(session: Session, plain: Sequence[Finished], now: datetime) -> None:
    """The everyday case, all at once: first attempts that got through to endpoints without a failure."""
    if not plain:
        return
    deliveries = {"chosen": [one.delivery_id for one in plain], "now": now}
    session.connection().execute(_DELIVERED, deliveries)
    endpoints = {"chosen": sorted({one.endpoint_id for one in plain}), "now": now}
    session.connection().execute(_SUCCEEDED, endpoints)


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
_SUCCEEDED = (
    sa.update(ENDPOINTS)
    .where(ENDPOINTS.c.id.in_(_CHOSEN))
    .values(last_success_at=sa.bindparam("now"))
)
