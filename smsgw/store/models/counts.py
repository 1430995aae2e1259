"""Stores counts that pages show, so that no page has to count messages."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class HourlyCount(Table):
    """The messages that were sent, failed and came in in one hour (UTC), by their history."""

    __tablename__ = "hourly_counts"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    sent: Mapped[int] = mapped_column(default=0, server_default="0")
    failed: Mapped[int] = mapped_column(default=0, server_default="0")
    received: Mapped[int] = mapped_column(default=0, server_default="0")


class CountedHistory(Table):
    """One row: the last entry of the history that is counted."""

    __tablename__ = "counted_history"

    id: Mapped[int] = mapped_column(primary_key=True)
    history_id: Mapped[int] = mapped_column(sa.BigInteger)
