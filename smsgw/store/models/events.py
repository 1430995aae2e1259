"""Stores events, each for one CRM, with the exact bytes that are signed and sent."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class Event(Table):
    """One event for one CRM; two CRMs of one device get an event each.

    The feed's order is (`tx`, `seq`). `seq` alone would skip events on PostgreSQL, where a later number can become
    visible first; `tx` is the writing transaction's id there, and the feed stops below the oldest one that
    still runs. On SQLite writers come one after another, and `tx` is 0.
    """

    __tablename__ = "events"
    __table_args__ = (sa.Index("ix_events_crm_id_tx_seq", "crm_id", "tx", "seq"),)

    seq: Mapped[int] = mapped_column(_BIG_ID, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    tx: Mapped[int] = mapped_column(sa.BigInteger)
    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"))
    type: Mapped[str]
    device_id: Mapped[str | None]
    message_id: Mapped[str | None]
    body: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(index=True)


class FeedBase(Table):
    """One row: what is added to PostgreSQL's transaction ids.

    A dump restored into a new server would start again from low transaction ids, below the positions readers hold;
    `db upgrade` and every start raise `base` so that they only ever grow.
    """

    __tablename__ = "feed_base"

    id: Mapped[int] = mapped_column(primary_key=True)
    base: Mapped[int] = mapped_column(sa.BigInteger)
