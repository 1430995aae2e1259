"""Tells how far a new server is: a phone, its first poll, a CRM, and the first SMS that arrived."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.models import Crm, Device, Message

# Some networks report no delivery: then an SMS that was sent a while ago is the end of the first steps.
_ENDS_AFTER_SENDING = timedelta(hours=1)


@dataclass(frozen=True)
class FirstSteps:
    """The beginning of a server: the names of some devices and CRMs, and the device that polled last."""

    device_ids: list[str]
    polled_device_id: str | None
    polled_at: datetime | None
    crm_names: list[str]
    is_sent: bool
    is_delivered: bool


def find(session: Session) -> FirstSteps:
    """Return how far the server is."""
    there = Device.removed_at.is_(None)
    devices = session.execute(
        sa.select(Device.id, Device.last_seen_at).where(there).order_by(Device.created_at).limit(20)
    ).all()
    polled = max(
        ((row.last_seen_at, row.id) for row in devices if row.last_seen_at is not None),
        default=(None, None),
    )
    crms = session.scalars(
        sa.select(Crm.name).where(Crm.removed_at.is_(None)).order_by(Crm.id).limit(20)
    )
    return FirstSteps(
        [row.id for row in devices],
        polled[1],
        polled[0],
        list(crms),
        _has_any(session, statuses.WENT_OUT),
        _has_any(session, (statuses.DELIVERED,)),
    )


def is_done(session: Session, now: datetime) -> bool:
    """Return whether an SMS was delivered, or one was sent more than an hour ago."""
    sent_long_ago = sa.and_(
        Message.status == statuses.SENT, Message.sent_at <= now - _ENDS_AFTER_SENDING
    )
    return _exists(session, sa.or_(Message.status == statuses.DELIVERED, sent_long_ago))


def _has_any(session: Session, wanted: tuple[str, ...]) -> bool:
    return _exists(session, Message.status.in_(wanted))


def _exists(session: Session, condition: sa.ColumnElement[bool]) -> bool:
    """Look by CRM, because there is an index of each CRM's messages by their status."""
    of_crm = sa.exists().where(
        Message.crm_id == Crm.id,
        Message.status.in_(statuses.WENT_OUT),
        condition,
    )
    return session.scalar(sa.select(Crm.id).where(of_crm).limit(1)) is not None
