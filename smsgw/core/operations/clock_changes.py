"""Brings forward what a clock that was ahead has put off: no wait lasts longer than its rule allows."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.db import Database
from ...store.models import Delivery, Device, Dispatch, Message, WebhookEndpoint
from ...store.queries import Query
from ...store.tables import plain
from ..devices import capacity, pauses, protocols
from ..devices import queue as device_queue
from ..devices.capacity import moment
from ..webhooks.delivery_statuses import IS_PENDING
from ..webhooks.retries import LONGEST_PAUSE, longest_delay

# The longest timeout that can be set, and the margin for the database.
LONGEST_CLAIM = timedelta(seconds=90)

_Change = tuple[sa.ColumnElement[bool], sa.Update]

# Finds all rows of `_changes`, and some more: deliveries that wait for a retry, and leases of apps with longer ones.
_MAY_WAIT = Query(
    bool,
    sa.select(
        sa.or_(
            sa.exists().where(
                device_queue.IS_QUEUED, Message.send_at.is_(None), Message.due_at > moment("now")
            ),
            sa.exists().where(
                capacity.is_never_confirmed(), Dispatch.lease_until > moment("shortest_lease_ends")
            ),
            sa.exists().where(IS_PENDING, Delivery.next_attempt_at > moment("now")),
            sa.exists().where(WebhookEndpoint.paused_until > moment("pause_ends")),
            sa.exists().where(Device.paused_until > moment("device_pause_ends")),
        ).label("may_wait")
    ),
)


def has_put_off(database: Database, settings: Settings, now: datetime) -> bool:
    """Return whether there is anything to bring forward."""
    times = {
        "now": now,
        "shortest_lease_ends": now + min(protocols.lease(one, settings) for one in protocols.TERMS),
        "pause_ends": now + LONGEST_PAUSE,
        "device_pause_ends": now + pauses.LONGEST_PAUSE,
    }
    if not _MAY_WAIT.read(database, **times):
        return False
    with database.reading() as session:
        return any(
            session.scalar(sa.select(sa.exists().where(condition)))
            for condition, _ in _changes(settings, now)
        )


def bring_forward(session: Session, settings: Settings, now: datetime) -> None:
    """Make due what was put off by a clock that was ahead, on this machine or another.

    Messages without `send_at` are due at once and deliveries within their retry schedule; a lease or a pause that would
    last longer than a whole one begins now.
    """
    for condition, change in _changes(settings, now):
        session.execute(change.where(condition))


def _changes(settings: Settings, now: datetime) -> list[_Change]:
    pause_ends = now + LONGEST_PAUSE
    claim_ends = now + LONGEST_CLAIM
    return [
        (
            sa.and_(
                device_queue.IS_QUEUED,
                Message.send_at.is_(None),
                Message.due_at > now,
            ),
            sa.update(plain(Message)).values({Message.due_at: now}),
        ),
        *(_lease(protocol, settings, now) for protocol in protocols.TERMS),
        (
            sa.and_(
                IS_PENDING,
                Delivery.claim.is_(None),
                Delivery.next_attempt_at > _latest_attempt(settings.webhook_retry_schedule, now),
            ),
            sa.update(plain(Delivery)).values({Delivery.next_attempt_at: now}),
        ),
        (
            sa.and_(IS_PENDING, Delivery.claim.is_not(None), Delivery.next_attempt_at > claim_ends),
            sa.update(plain(Delivery)).values({Delivery.next_attempt_at: claim_ends}),
        ),
        (
            WebhookEndpoint.paused_until > pause_ends,
            sa.update(plain(WebhookEndpoint)).values({WebhookEndpoint.paused_until: pause_ends}),
        ),
        (
            Device.paused_until > now + pauses.LONGEST_PAUSE,
            sa.update(plain(Device)).values({Device.paused_until: now}),
        ),
    ]


def _lease(protocol: str, settings: Settings, now: datetime) -> _Change:
    lease_ends = now + protocols.lease(protocol, settings)
    condition = sa.and_(
        capacity.is_never_confirmed(),
        Dispatch.protocol == protocol,
        Dispatch.lease_until > lease_ends,
    )
    return condition, sa.update(plain(Dispatch)).values({Dispatch.lease_until: lease_ends})


def _latest_attempt(schedule: Sequence[float], now: datetime) -> sa.ColumnElement[datetime]:
    """Return when a delivery's next attempt can be at the latest: the first one is due at once."""
    latest = {
        step: sa.literal(now + longest_delay(schedule, step), Delivery.next_attempt_at.type)
        for step in range(1, len(schedule))
    }
    at_once = sa.literal(now, Delivery.next_attempt_at.type)
    return sa.case(latest, value=Delivery.retry_step, else_=at_once) if latest else at_once
