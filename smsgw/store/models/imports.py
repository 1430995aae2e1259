"""Stores which files were imported."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class Import(Table):
    """A file's messages, by their hash, on behalf of a CRM; queued in steps, of which `done_count` rows are done."""

    __tablename__ = "imports"

    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    row_count: Mapped[int]
    done_count: Mapped[int]
    imported_at: Mapped[datetime]
