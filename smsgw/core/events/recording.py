"""Events: recorded in the transaction of what happened, together with a delivery for each endpoint that wants them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...clock import rfc3339
from ...errors import NotFound
from ...store.db import is_postgresql
from ...store.inserts import Insert
from ...store.models import Crm, Delivery, Event, FeedBase, WebhookEndpoint
from ...store.queries import Query
from . import open_transactions

TYPES = (
    "message.received",
    "message.dispatched",
    "message.accepted",
    "message.sent",
    "message.delivered",
    "message.failed",
    "message.expired",
    "message.cancelled",
    "message.stuck",
    "device.online",
    "device.offline",
    "webhook.disabled",
    "webhook.ping",
)

_OWN_TRANSACTION: sa.ColumnElement[int] = sa.literal_column(
    "pg_current_xact_id()::text::bigint", sa.BigInteger
)
_OWN_POSITION = Query(int, sa.select(_OWN_TRANSACTION + FeedBase.base))


@dataclass(frozen=True)
class Happening:
    """Something to tell one CRM: an event before it has an id. `data` is the message or the device as REST shows it."""

    type: str
    crm_id: str
    data: dict[str, Any]
    device_id: str | None = None
    message_id: str | None = None


class _Event(NamedTuple):
    id: str
    tx: int
    crm_id: str
    type: str
    device_id: str | None
    message_id: str | None
    body: str
    created_at: datetime


class _Delivery(NamedTuple):
    id: str
    event_id: str
    endpoint_id: str
    next_attempt_at: datetime
    created_at: datetime


class _Subscriber(NamedTuple):
    """An endpoint and its filters."""

    id: str
    crm_id: str
    events: list[str] | None
    device_ids: list[str] | None


_EVENTS = Insert(Event, _Event)
_DELIVERIES = Insert(Delivery, _Delivery)
_SUBSCRIBERS = Query(
    _Subscriber,
    sa.select(
        WebhookEndpoint.id,
        WebhookEndpoint.crm_id,
        WebhookEndpoint.events,
        WebhookEndpoint.device_ids,
    ).where(
        WebhookEndpoint.crm_id.in_(sa.bindparam("crm_ids", expanding=True)),
        WebhookEndpoint.enabled,
        WebhookEndpoint.removed_at.is_(None),
    ),
)


def record(session: Session, happenings: Sequence[Happening], now: datetime) -> list[str]:
    """Writes the events and one pending delivery for each enabled endpoint that wants them; returns the events' ids."""
    if not happenings:
        return []
    rows = _write(session, happenings, now)
    crm_ids = {happening.crm_id for happening in happenings}
    endpoints = _SUBSCRIBERS.all(session, crm_ids=list(crm_ids))
    deliver(
        session,
        [
            (row.id, endpoint.id)
            for row in rows
            for endpoint in endpoints
            if endpoint.crm_id == row.crm_id and _wants(endpoint, row.type, row.device_id)
        ],
        now,
    )
    return [row.id for row in rows]


def record_for(
    session: Session, endpoint: WebhookEndpoint, happening: Happening, now: datetime
) -> str:
    """Writes one event for one endpoint, whatever it subscribed to, and returns the delivery's id (a ping, for one)."""
    (row,) = _write(session, [happening], now)
    (delivery_id,) = deliver(session, [(row.id, endpoint.id)], now)
    return delivery_id


def deliver(session: Session, pairs: Sequence[tuple[str, str]], now: datetime) -> list[str]:
    """Writes a pending delivery, due now, for each pair of event id and endpoint id; returns the deliveries' ids."""
    rows = [
        _Delivery(ids.new_delivery_id(), event_id, endpoint_id, now, now)
        for event_id, endpoint_id in pairs
    ]
    if rows:
        _DELIVERIES.all(session, rows)
        session.info["has_news"] = True
    return [row.id for row in rows]


def _wants(endpoint: _Subscriber, event_type: str, device_id: str | None) -> bool:
    """Whether the endpoint's filters let this event through; a device filter only looks at events of a device."""
    if endpoint.events is not None and event_type not in endpoint.events:
        return False
    return endpoint.device_ids is None or device_id is None or device_id in endpoint.device_ids


def feed(session: Session, crm_id: str, after: str | None, limit: int) -> list[Event]:
    """The CRM's events after the event `after` (from the first one when `None`), oldest first, none ever skipped."""
    statement = sa.select(Event).where(Event.crm_id == crm_id).order_by(Event.tx, Event.seq)
    if after is not None:
        statement = statement.where(_is_after(session, crm_id, after))
    return list(session.scalars(statement.where(is_shown(session)).limit(limit)))


def feed_of_all(session: Session, after: str | None, limit: int) -> list[Event]:
    """The same for the events of all CRMs, read by each CRM's index."""
    # One bound for all: a transaction that ends meanwhile is in the feed of none of them yet.
    shown = (
        [Event.tx < session.scalars(sa.select(_oldest_running())).one()]
        if is_postgresql(session)
        else []
    )
    if after is not None:
        shown.append(_is_after(session, None, after))
    keys = sa.select(Event.tx, Event.seq).where(*shown).order_by(Event.tx, Event.seq).limit(limit)
    crm_ids = session.scalars(sa.select(Crm.id)).all()
    found = [
        (row.tx, row.seq)
        for crm_id in crm_ids
        for row in session.execute(keys.where(Event.crm_id == crm_id))
    ]
    first = [seq for _, seq in sorted(found)[:limit]]
    rows = session.scalars(sa.select(Event).where(Event.seq.in_(first)))
    return sorted(rows, key=lambda row: (row.tx, row.seq))


def is_shown(session: Session) -> sa.ColumnElement[bool]:
    """A condition on `Event`: nothing that comes before it in the feed can still become visible."""
    return Event.tx < _oldest_running() if is_postgresql(session) else sa.true()


def withheld_since(session: Session) -> datetime | None:
    """When the oldest event happened that the feed does not show yet, `None` where it shows them all."""
    return session.scalar(sa.select(sa.func.min(Event.created_at)).where(~is_shown(session)))


def _is_after(session: Session, crm_id: str | None, event_id: str) -> sa.ColumnElement[bool]:
    found = session.execute(_POSITION, {"event_id": event_id}).one_or_none()
    if found is not None and crm_id in (None, found.crm_id):
        return sa.tuple_(Event.tx, Event.seq) > sa.tuple_(found.tx, found.seq)
    if found is None and ids.is_event_id(event_id):
        is_its = sa.true() if crm_id is None else Event.crm_id == crm_id
        oldest = session.scalar(sa.select(sa.func.min(Event.id)).where(is_its))
        if event_id < (oldest or ids.new_event_id()):
            return sa.true()  # retention has removed it, and everything that is left came later
    raise NotFound(f"no event {event_id[:80]!r}: leave out 'after' to begin with the oldest one")


_POSITION = sa.select(Event.tx, Event.seq, Event.crm_id).where(Event.id == sa.bindparam("event_id"))


def _write(session: Session, happenings: Sequence[Happening], now: datetime) -> list[_Event]:
    tx = _transaction_position(session)
    rows = [_row(happening, tx, now) for happening in happenings]
    _EVENTS.all(session, rows)
    return rows


def _row(happening: Happening, tx: int, now: datetime) -> _Event:
    event_id = ids.new_event_id()
    body = {
        "id": event_id,
        "type": happening.type,
        "timestamp": rfc3339(now),
        "data": happening.data,
    }
    return _Event(
        event_id,
        tx,
        happening.crm_id,
        happening.type,
        happening.device_id,
        happening.message_id,
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        now,
    )


def _transaction_position(session: Session) -> int:
    if not is_postgresql(session):
        return 0
    if "tx" not in session.info:
        session.info["tx"] = _OWN_POSITION.one(session)
    return int(session.info["tx"])


def _oldest_running() -> sa.ColumnElement[int]:
    return open_transactions.OLDEST + sa.select(FeedBase.base).scalar_subquery()


def raise_feed_base(session: Session) -> None:
    """Makes new positions higher than all stored ones, also after a dump was restored into a new server."""
    if not is_postgresql(session):
        return
    highest = session.scalar(sa.select(sa.func.max(Event.tx))) or 0
    current = session.scalars(sa.select(_OWN_TRANSACTION)).one()
    base = session.scalars(sa.select(FeedBase.base).with_for_update()).one()
    if highest >= current + base:
        session.execute(sa.update(FeedBase).values(base=highest - current + 1))
