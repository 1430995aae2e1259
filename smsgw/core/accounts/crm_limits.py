"""Shows how much of its limits each CRM has used: its queue, and its requests of this minute."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.models import Crm, Message
from ..devices import queue as device_queue
from . import crms, rate_limits

# More are not counted.
MOST_COUNTED = 20_000


class Fullness(NamedTuple):
    """The limits of a CRM with what it has used of them; a limit that is `None` is none."""

    crm: Crm
    waiting: int
    queue_limit: int | None
    requests: int
    requests_per_minute: int | None


def lock(session: Session, name_or_id: str) -> Crm:
    """Return the CRM with that id or name, locked until the commit. Raises `NotFound` when there is none."""
    crm = crms.get(session, name_or_id)
    session.refresh(crm, with_for_update={"key_share": True})
    return crm


def of_crms(
    session: Session, rows: Sequence[Crm], settings: Settings, now: datetime
) -> list[Fullness]:
    """Return how full the limits of these CRMs are; the queues are counted up to `MOST_COUNTED` messages in all."""
    waiting = _waiting(session)
    requests = rate_limits.used(session, rows, settings, now)
    return [
        Fullness(
            row,
            waiting.get(row.id, 0),
            settings.queue_limit if row.queue_limit is None else row.queue_limit,
            requests[row.id],
            settings.requests_per_minute
            if row.requests_per_minute is None
            else row.requests_per_minute,
        )
        for row in rows
    ]


def _waiting(session: Session) -> dict[str, int]:
    queued = sa.select(Message.crm_id).where(device_queue.IS_QUEUED, Message.lane.is_not(None))
    some = queued.limit(MOST_COUNTED).subquery()
    counts = sa.select(some.c.crm_id, sa.func.count()).group_by(some.c.crm_id)
    return {row[0]: row[1] for row in session.execute(counts) if row[0] is not None}
