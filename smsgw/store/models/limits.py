"""Stores used rates, free space in queues, and until when phones or CRMs may register."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class RateLimit(Table):
    """A caller's theoretical arrival time (GCRA), in seconds since 1970, and whether its last request was in time."""

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(primary_key=True)
    arrival: Mapped[float] = mapped_column(sa.Double, index=True)
    was_allowed: Mapped[bool]


class QueueRoom(Table):
    """The room in a queue with a limit of `most` messages in all, as counted then less what came since.

    `key` is `crm:<id>` or `device:<id>`.
    """

    __tablename__ = "queue_rooms"

    key: Mapped[str] = mapped_column(primary_key=True)
    most: Mapped[int]
    room: Mapped[int]
    counted_at: Mapped[datetime]


class Pairing(Table):
    """Until when registration is open: one row for phones and one for CRMs, once an operator has opened it."""

    __tablename__ = "pairing"

    id: Mapped[int] = mapped_column(primary_key=True)
    open_until: Mapped[datetime]
