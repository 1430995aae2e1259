"""Quarantine: what devices sent that could not be understood, for an operator to look at and clear away."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..clock import rfc3339
from ..errors import NotFound
from ..store.models import QuarantinedItem


def page(session: Session, limit: int, before: int | None = None) -> list[QuarantinedItem]:
    """The newest items, or those older than the item `before`."""
    statement = sa.select(QuarantinedItem).order_by(QuarantinedItem.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(QuarantinedItem.id < before)
    return list(session.scalars(statement))


def get(session: Session, item_id: int) -> QuarantinedItem:
    """The item; `NotFound` when there is none."""
    item = session.get(QuarantinedItem, item_id)
    if item is None:
        raise NotFound(f"no item {item_id} in the quarantine")
    return item


def clear(session: Session, item_ids: Sequence[int]) -> int:
    """Removes these items; returns how many there were. `NotFound` when one is not there, and then none goes."""
    for item_id in item_ids:
        session.delete(get(session, item_id))
    return len(item_ids)


def clear_all(session: Session) -> int:
    """Removes everything; returns how much there was."""
    cleared = session.scalars(sa.delete(QuarantinedItem).returning(QuarantinedItem.id)).all()
    return len(cleared)


def shape(item: QuarantinedItem) -> dict[str, Any]:
    """An item in JSON; `raw` is what the device sent, as JSON text."""
    return {
        "id": item.id,
        "device_id": item.device_id,
        "received_at": rfc3339(item.received_at),
        "reason": item.reason,
        "raw": item.raw,
    }
