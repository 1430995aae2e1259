"""Counts the outcomes of the messages that a device was handed in the last day."""

from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.models import Dispatch

WITHIN = timedelta(hours=24)
MOST = 2_000


class RecentOutcomes(NamedTuple):
    """Counts of the newest `MOST` messages of the last day: all, sent ones, and failed ones by class."""

    total: int
    went_out: int
    failed: dict[str, int]


def of_device(session: Session, device_id: str, now: datetime) -> RecentOutcomes:
    """Return the counts of one device."""
    newest = (
        sa.select(Dispatch.status, Dispatch.reason_class)
        .where(Dispatch.device_id == device_id, Dispatch.last_handed_out_at > now - WITHIN)
        .order_by(Dispatch.last_handed_out_at.desc())
        .limit(MOST)
        .subquery()
    )
    rows = session.execute(
        sa.select(newest.c.status, newest.c.reason_class, sa.func.count()).group_by(
            newest.c.status, newest.c.reason_class
        )
    ).all()
    return RecentOutcomes(
        total=sum(count for _, _, count in rows),
        went_out=sum(count for status, _, count in rows if status in statuses.WENT_OUT),
        failed={
            reason_class or "unknown": count
            for status, reason_class, count in rows
            if status == statuses.FAILED
        },
    )
