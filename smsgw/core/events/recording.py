"""Records events in the transaction that causes them, with one delivery for each subscribed endpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...clock import rfc3339
from ...store.db import is_postgresql, wake_up
from ...store.inserts import Insert
from ...store.models import Delivery, Event, FeedBase, WebhookEndpoint
from ...store.queries import Query
from ...store.together import Together
from . import subscribers
from .subscribers import Subscriber

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
    "device.silent",
    "device.recovered",
    "device.limited",
    "opt_out.added",
    "opt_out.removed",
    "webhook.disabled",
    "webhook.ping",
)

# The key in `Session.info` that has the transaction's position in the feed.
_POSITION = "feed_position"
_OWN_TRANSACTION: sa.ColumnElement[int] = sa.literal_column(
    "pg_current_xact_id()::text::bigint", sa.BigInteger
)
# The position of the transaction's events in the feed, on PostgreSQL.
OWN_POSITION = sa.select(_OWN_TRANSACTION + FeedBase.base).scalar_subquery()
_OWN_POSITION = Query(int, sa.select(OWN_POSITION.label("position")))


@dataclass(frozen=True)
class NewEvent:
    """Something to tell one CRM: an event before it has an id. `data` is the message or the device as REST shows it."""

    type: str
    crm_id: str
    data: dict[str, Any]
    device_id: str | None = None
    message_id: str | None = None


class _EventRow(NamedTuple):
    id: str
    tx: int
    crm_id: str
    type: str
    device_id: str | None
    message_id: str | None
    body: str
    created_at: datetime


class _DeliveryRow(NamedTuple):
    id: str
    event_id: str
    endpoint_id: str
    next_attempt_at: datetime
    created_at: datetime


class Rows(NamedTuple):
    """The rows of events and of their deliveries."""

    events: Sequence[_EventRow] = ()
    deliveries: Sequence[_DeliveryRow] = ()


EVENTS = Insert(Event, _EventRow)
DELIVERIES = Insert(Delivery, _DeliveryRow)
_BOTH = Together(EVENTS, DELIVERIES)


def record(session: Session, new_events: Sequence[NewEvent], now: datetime) -> list[str]:
    """Write the events and one pending delivery for each enabled endpoint that wants them; return the events' ids."""
    if not new_events:
        return []
    rows = draw_up(session, new_events, now)
    _BOTH.run(session, rows.events, rows.deliveries)
    if rows.deliveries:
        wake_up(session)
    return [row.id for row in rows.events]


def draw_up(
    session: Session,
    new_events: Sequence[NewEvent],
    now: datetime,
    known: Mapping[str, Sequence[Subscriber]] = MappingProxyType({}),
) -> Rows:
    """Return the rows that `record` writes; reads the subscribers of the CRMs that are not `known`."""
    if not new_events:
        return Rows()
    rows = _event_rows(session, new_events, now)
    crm_ids = {new_event.crm_id for new_event in new_events}
    of_crms = {**known, **subscribers.find(session, list(crm_ids - known.keys()))}
    pairs = [
        (row.id, subscriber.id)
        for row in rows
        for subscriber in of_crms.get(row.crm_id, ())
        if subscriber.wants(row.type, row.device_id)
    ]
    return Rows(rows, _delivery_rows(pairs, now))


def record_for(
    session: Session, endpoint: WebhookEndpoint, new_event: NewEvent, now: datetime
) -> str:
    """Write one event for one endpoint, whatever it subscribed to, and return the delivery's id (a ping, for one)."""
    (row,) = _event_rows(session, [new_event], now)
    EVENTS.all(session, [row])
    (delivery_id,) = deliver(session, [(row.id, endpoint.id)], now)
    return delivery_id


def deliver(session: Session, pairs: Sequence[tuple[str, str]], now: datetime) -> list[str]:
    """Write a pending delivery, due now, for each pair of event id and endpoint id; return the deliveries' ids."""
    rows = _delivery_rows(pairs, now)
    if rows:
        DELIVERIES.all(session, rows)
        wake_up(session)
    return [row.id for row in rows]


def note_position(session: Session, position: int) -> None:
    """Note the transaction's position in the feed, as `OWN_POSITION` gives it, which spares asking for it."""
    session.info[_POSITION] = position


def raise_feed_base(session: Session) -> None:
    """Make new positions higher than all stored ones, also after a dump was restored into a new server."""
    if not is_postgresql(session):
        return
    highest = session.scalar(sa.select(sa.func.max(Event.tx))) or 0
    current = session.scalars(sa.select(_OWN_TRANSACTION)).one()
    base = session.scalars(sa.select(FeedBase.base).with_for_update()).one()
    if highest >= current + base:
        session.execute(sa.update(FeedBase).values(base=highest - current + 1))


def _delivery_rows(pairs: Sequence[tuple[str, str]], now: datetime) -> list[_DeliveryRow]:
    return [
        _DeliveryRow(ids.new_delivery_id(), event_id, endpoint_id, now, now)
        for event_id, endpoint_id in pairs
    ]


def _event_rows(session: Session, new_events: Sequence[NewEvent], now: datetime) -> list[_EventRow]:
    tx = _transaction_position(session)
    return [_row(new_event, tx, now) for new_event in new_events]


def _row(new_event: NewEvent, tx: int, now: datetime) -> _EventRow:
    event_id = ids.new_event_id()
    body = {
        "id": event_id,
        "type": new_event.type,
        "timestamp": rfc3339(now),
        "data": new_event.data,
    }
    return _EventRow(
        event_id,
        tx,
        new_event.crm_id,
        new_event.type,
        new_event.device_id,
        new_event.message_id,
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        now,
    )


def _transaction_position(session: Session) -> int:
    if not is_postgresql(session):
        return 0
    if _POSITION not in session.info:
        session.info[_POSITION] = _OWN_POSITION.one(session)
    return int(session.info[_POSITION])
