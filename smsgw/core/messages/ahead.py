"""Counts the segments that already wait for some devices, whoever queued them."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Crm, Device, Message
from ..devices import lanes, routing
from ..devices import queue as device_queue

# A longer queue is not read to its end, because a page shows the number.
MOST_COUNTED = 20_000


class Ahead(NamedTuple):
    """The segments that wait; `is_all` is false where more messages wait than were counted."""

    segments: int
    is_all: bool


def find(session: Session, device_ids: Collection[str], before: datetime | None = None) -> Ahead:
    """Count the segments, neither held nor paused, that these devices may send and were queued before that time."""
    sharing = sa.exists().where(Device.id.in_(device_ids), routing.is_of_device(Device.id))
    crm_ids = session.scalars(sa.select(Crm.id).where(Crm.enabled, sharing)).all()
    first, after_last = lanes.RANGE_OF_STICKY
    named = [lanes.of_crm(crm_id) for crm_id in crm_ids]
    named += [lanes.of_only_device(name) for name in device_ids]
    is_before = sa.true() if before is None else Message.created_at < before
    waiting = sa.union_all(
        *(
            sa.select(Message.segments).where(device_queue.IS_QUEUED, is_before, is_there)
            for is_there in (
                Message.lane.in_(named),
                sa.and_(
                    Message.lane >= first, Message.lane < after_last, Message.crm_id.in_(crm_ids)
                ),
            )
        )
    ).limit(MOST_COUNTED + 1)
    rows = waiting.subquery()
    total = sa.func.coalesce(sa.func.sum(rows.c.segments), 0)
    count, segments = session.execute(sa.select(sa.func.count(), total).select_from(rows)).one()
    return Ahead(int(segments), count <= MOST_COUNTED)
