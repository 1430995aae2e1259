"""Stores the numbers that want no more messages, and which device each number last talked with."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class OptOut(Table):
    """A number to which this CRM may not send. `bare_number` is the number without its `+`, by which it is found.

    `source` is `sms` where the person said so in `message_id`, otherwise `api` or `cli`.
    """

    __tablename__ = "opt_outs"
    __table_args__ = (
        sa.UniqueConstraint("crm_id", "bare_number"),
        sa.Index("ix_opt_outs_crm_id_id", "crm_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"))
    number: Mapped[str]
    bare_number: Mapped[str]
    note: Mapped[str | None]
    source: Mapped[str]
    message_id: Mapped[str | None] = mapped_column(sa.ForeignKey("messages.id"))
    created_at: Mapped[datetime]


class LastDevice(Table):
    """The device that last sent to this number for this CRM, or brought an SMS of it; kept for sticky senders only."""

    __tablename__ = "last_devices"

    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), primary_key=True)
    bare_number: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(sa.ForeignKey("devices.id"))
    talked_at: Mapped[datetime] = mapped_column(index=True)
