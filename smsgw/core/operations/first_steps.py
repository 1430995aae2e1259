"""Tells how far a new server is: a phone, its first poll, a CRM, and the first SMS that arrived."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.models import Crm, Device, Message
from ..messages import reading

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
        _has_any(session, *map(_has, statuses.WENT_OUT)),
        _has_any(session, _has(statuses.DELIVERED)),
    )


def is_done(session: Session, now: datetime) -> bool:
    """Return whether an SMS was delivered, or one from more than an hour ago was sent."""
    is_old = Message.id < reading.first_id_of(now - _ENDS_AFTER_SENDING)
    return _has_any(session, _has(statuses.DELIVERED), _has(statuses.SENT, is_old))


def _has_any(session: Session, *conditions: sa.ColumnElement[bool]) -> bool:
    return session.scalar(sa.select(Crm.id).where(sa.or_(*conditions)).limit(1)) is not None


def _has(status: str, *more: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return the condition on `Crm` that it has such a message: there is an index of each CRM's by their status."""
    return sa.exists().where(Message.crm_id == Crm.id, Message.status == status, *more)
