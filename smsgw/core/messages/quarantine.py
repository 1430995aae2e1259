"""Keeps items from devices that could not be read, for an operator to inspect and remove."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339
from ...errors import NotFound
from ...store import audit
from ...store.inserts import InsertNew
from ...store.models import Device, QuarantinedItem

# The largest item, and the most of one device: an app gone wrong must not fill the disk.
MAX_RAW = 1024 * 1024
MOST_ITEMS = 1000
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Unreadable:
    """An item of a phone's batch that cannot be taken: as it came, and why."""

    raw: str
    reason: str


class _Item(NamedTuple):
    device_id: str
    item_hash: str
    reason: str
    raw: str
    size: int
    received_at: datetime


_NEW_ITEMS = InsertNew(
    QuarantinedItem,
    _Item,
    conflict_on=[QuarantinedItem.device_id, QuarantinedItem.item_hash],
    returning=QuarantinedItem.id,
)


def keep(session: Session, device_id: str, items: Sequence[Unreadable], now: datetime) -> None:
    """Keep items that cannot be taken, each once.

    If a device has more than 1,000 items or 16 MiB here, its oldest are dropped and counted.
    """
    found = {row.item_hash: row for row in (_row(device_id, item, now) for item in items)}
    # The newest are inserted last and stay.
    if _NEW_ITEMS.new(session, found.values()):
        _drop_oldest(session, device_id)


def page(session: Session, limit: int, before: int | None = None) -> list[QuarantinedItem]:
    """Return the newest items, or those older than the item `before`."""
    statement = sa.select(QuarantinedItem).order_by(QuarantinedItem.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(QuarantinedItem.id < before)
    return list(session.scalars(statement))


def get(session: Session, item_id: int) -> QuarantinedItem:
    """Return the item. Raises `NotFound` when there is none."""
    item = session.get(QuarantinedItem, item_id)
    if item is None:
        raise NotFound(f"no item {item_id} in the quarantine")
    return item


def clear(session: Session, item_ids: Sequence[int]) -> int:
    """Remove these items and return their number. Raises `NotFound` if any does not exist, and then removes none."""
    for item_id in item_ids:
        session.delete(get(session, item_id))
    _note_cleared(session, len(item_ids))
    return len(item_ids)


def clear_all(session: Session) -> int:
    """Remove everything; return how much there was."""
    cleared = session.scalars(sa.delete(QuarantinedItem).returning(QuarantinedItem.id)).all()
    session.execute(
        sa.update(Device)
        .where(Device.quarantine_dropped_count > 0)
        .values(quarantine_dropped_count=0)
    )
    _note_cleared(session, len(cleared))
    return len(cleared)


def dropped_count(session: Session) -> int:
    """Return how many items were dropped for newer ones since the quarantine was cleared."""
    return session.scalar(sa.select(sa.func.sum(Device.quarantine_dropped_count))) or 0


def shape(item: QuarantinedItem) -> dict[str, Any]:
    """Return an item in JSON; `raw` is what the device sent, as JSON text."""
    return {
        "id": item.id,
        "device_id": item.device_id,
        "received_at": rfc3339(item.received_at),
        "reason": item.reason,
        "raw": item.raw,
    }


def _note_cleared(session: Session, count: int) -> None:
    fields = {"cleared_count": [None, count]}
    audit.note(session, "quarantine", "quarantine", "clear", "quarantine", fields)


def _row(device_id: str, item: Unreadable, now: datetime) -> _Item:
    raw = item.raw.encode()
    digest = hashlib.sha256(raw).hexdigest()
    return _Item(device_id, digest, item.reason, item.raw, len(raw), now)


def _drop_oldest(session: Session, device_id: str) -> None:
    sizes = session.execute(
        sa.select(QuarantinedItem.id, QuarantinedItem.size)
        .where(QuarantinedItem.device_id == device_id)
        .order_by(QuarantinedItem.id.desc())
    )
    total = 0
    for number, (item_id, size) in enumerate(sizes, start=1):
        total += size
        if number > MOST_ITEMS or total > MOST_BYTES:
            _drop_from(session, device_id, item_id)
            return


def _drop_from(session: Session, device_id: str, newest_id: int) -> None:
    dropped = session.scalars(
        sa.delete(QuarantinedItem)
        .where(QuarantinedItem.device_id == device_id, QuarantinedItem.id <= newest_id)
        .returning(QuarantinedItem.id)
    ).all()
    session.execute(
        sa.update(Device)
        .where(Device.id == device_id)
        .values(quarantine_dropped_count=Device.quarantine_dropped_count + len(dropped))
    )
