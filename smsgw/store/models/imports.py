"""Stores which files were imported, and which messages were queued together."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table, partial_index

_IS_MOVING = "moved_count IS NOT NULL"


class Import(Table):
    """A file's messages, by their hash, on behalf of a CRM; queued in steps, of which `done_count` rows are done."""

    __tablename__ = "imports"

    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    row_count: Mapped[int]
    done_count: Mapped[int]
    imported_at: Mapped[datetime]


class Bulk(Table):
    """Messages that a person queued together, in steps, of which `done_count` of `row_count` rows are done.

    `content_hash` names the `Import` where they came as a file. After `cancelled_at` no further rows are queued. From
    `paused_at` on no phone gets any; `moved_count` is how many rows are in the lanes that this says, `NULL` for all.
    """

    __tablename__ = "bulks"
    __table_args__ = (
        sa.Index("ix_bulks_crm_id_created_at", "crm_id", "created_at"),
        sa.Index("ix_bulks_created_at", "created_at"),
        partial_index("ix_bulks_moving", "id", where=_IS_MOVING),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"))
    name: Mapped[str]
    queued_by: Mapped[str]
    content_hash: Mapped[str | None]
    row_count: Mapped[int]
    done_count: Mapped[int]
    created_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    paused_by: Mapped[str | None]
    moved_count: Mapped[int | None]


class BulkMessage(Table):
    """The message of a row of a bulk; rows count from 0."""

    __tablename__ = "bulk_messages"

    bulk_id: Mapped[str] = mapped_column(sa.ForeignKey("bulks.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(sa.ForeignKey("messages.id"))


class BulkSheet(Table):
    """An uploaded file that is looked at and mended before its rows are queued as the bulk with the same id.

    `rows` are lists of cells from the header on; local times are those of the time zone `zone`.
    """

    __tablename__ = "bulk_sheets"

    id: Mapped[str] = mapped_column(primary_key=True)
    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"))
    name: Mapped[str]
    uploaded_by: Mapped[str]
    zone: Mapped[str]
    rows: Mapped[list[list[str]]] = mapped_column(sa.JSON)
    created_at: Mapped[datetime]
