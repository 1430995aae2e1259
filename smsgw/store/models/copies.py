"""Stores that a database is copied to another one, or is such a copy."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class DatabaseCopy(Table):
    """One row, in both databases of a copy, with the same `token`: neither is served before the copy has ended.

    A `source` is not served after that either. `other` is the URL of the other one, without its password. In the
    target, `progress` says how much of each table is there, and `step` goes up with each batch of rows.
    """

    __tablename__ = "database_copies"
    __table_args__ = (sa.CheckConstraint("role IN ('source', 'target')", name="role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str]
    role: Mapped[str]
    other: Mapped[str]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    step: Mapped[int] = mapped_column(default=0, server_default="0")
    progress: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict, server_default="{}")
