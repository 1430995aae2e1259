"""Stores up to where people have read what numbers wrote."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class ReadMark(Table):
    """Somebody who may answer for this CRM has read what this number or name wrote to it, up to this message.

    `crm_id` is empty for what came in for no CRM.
    """

    __tablename__ = "read_marks"

    crm_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    read_up_to: Mapped[str]
    marked_at: Mapped[datetime] = mapped_column(index=True)
