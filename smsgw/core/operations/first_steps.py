"""Finds which first steps of a new server are done: a phone, its first poll, a CRM, and the first SMS delivered."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.models import Crm, Device, Message
from ...store.queries import written_out
from ..messages.filters import first_id_of

# Some networks report no delivery: then an SMS that was sent a while ago is the end of the first steps.
_ENDS_AFTER_SENDING = timedelta(hours=1)


@dataclass(frozen=True)
class FirstSteps:
    """The progress of a new server: the names of some devices and CRMs, and the device that polled last."""

    device_ids: list[str]
    polled_device_id: str | None
    polled_at: datetime | None
    crm_names: list[str]
    is_sent: bool
    is_delivered: bool


def find(session: Session) -> FirstSteps:
    """Return the progress of the server."""
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
        _finds_any(session, *map(_first, statuses.WENT_OUT)),
        _finds_any(session, _first(statuses.DELIVERED)),
    )


def is_done(session: Session, now: datetime) -> bool:
    """Return whether an SMS was delivered, or one from more than an hour ago was sent."""
    is_old = Message.id < first_id_of(now - _ENDS_AFTER_SENDING)
    return _finds_any(session, _first(statuses.DELIVERED), _first(statuses.SENT, is_old))


def _finds_any(session: Session, *wanted: sa.Select[str]) -> bool:
    # Not EXISTS ... OR EXISTS, for which PostgreSQL reads all messages first.
    return session.scalar(sa.union_all(*wanted).limit(1)) is not None


def _first(status: str, *more: sa.ColumnElement[bool]) -> sa.Select[str]:
    """Select one CRM with such a message, by the index of each CRM's messages by their status.

    The status is written out, because PostgreSQL would expect a parameter to match all messages. With a join SQLite
    reads the whole index of the messages, and PostgreSQL may, even with EXISTS.
    """
    its = sa.select(Message.id).where(
        Message.crm_id == Crm.id, Message.status == written_out(status), *more
    )
    has_one = its.limit(1).correlate(Crm).scalar_subquery().is_not(None)
    found = sa.select(Crm.id).where(has_one).limit(1).subquery()
    return sa.select(found.c.id)
