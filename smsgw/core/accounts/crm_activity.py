"""Counts what CRMs have in the queue, and finds when each last queued something."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Crm, Message
from ..devices import queue


class CrmActivity(NamedTuple):
    """The number of messages in a CRM's queue, and when it queued its newest message, if it has any."""

    queued_count: int
    last_queued_at: datetime | None


_COUNT = (
    sa.select(sa.func.count())
    .select_from(Message)
    .where(Message.crm_id == Crm.id, queue.IS_QUEUED)
    .scalar_subquery()
)
# As a range: with `=`, PostgreSQL walks back through all messages, to the first where a CRM has none.
_LAST = (
    sa.select(Message.created_at)
    .where(Message.crm_id >= Crm.id, Message.crm_id <= Crm.id)
    .order_by(Message.crm_id.desc(), Message.id.desc())
    .limit(1)
    .scalar_subquery()
)


def of_crms(session: Session, crm_ids: Collection[str]) -> dict[str, CrmActivity]:
    """Return the activity of each of these CRMs."""
    rows = session.execute(sa.select(Crm.id, _COUNT, _LAST).where(Crm.id.in_(crm_ids)))
    return {crm_id: CrmActivity(count, last) for crm_id, count, last in rows}
