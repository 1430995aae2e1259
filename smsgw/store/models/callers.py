"""Stores CRMs, the devices they may use, and operators."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table

_IS_THERE = sa.text("removed_at IS NULL")


class Crm(Table):
    """A program that sends and receives SMS through us. `removed_at` keeps its messages explained.

    One that registered itself is not `approved` until an operator says so; until then it has its own devices alone.
    Of words and limits `None` is the default; a `loop_guard` of 0 is none.
    """

    __tablename__ = "crms"
    __table_args__ = (
        sa.Index(
            "uq_crms_name",
            "name",
            unique=True,
            sqlite_where=_IS_THERE,
            postgresql_where=_IS_THERE,
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    uses_all_devices: Mapped[bool]
    strict_numbers: Mapped[bool] = mapped_column(default=False)
    enabled: Mapped[bool] = mapped_column(default=True)
    queue_limit: Mapped[int | None]
    requests_per_minute: Mapped[int | None]
    stop_words: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    start_words: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    loop_guard: Mapped[int | None]
    sticky_sender: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    approved: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class CrmDevice(Table):
    """A route: an operator lets this CRM use this device, whoever the device belongs to."""

    __tablename__ = "crm_devices"

    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), primary_key=True)
    device_id: Mapped[str] = mapped_column(
        sa.ForeignKey("devices.id"), primary_key=True, index=True
    )


class Operator(Table):
    """A person who runs the server."""

    __tablename__ = "operators"

    name: Mapped[str] = mapped_column(primary_key=True)
    key_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
