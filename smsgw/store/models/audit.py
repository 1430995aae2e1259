"""Stores who changed what."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class AuditEntry(Table):
    """One object that one transaction changed: who did it, what it was, and the fields with their old and new values.

    `changes` is `{field: [old, new]}` without secrets. An entry outlives what it names, so it references nothing.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (sa.Index("ix_audit_entries_at", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[str | None]
    actor_name: Mapped[str | None]
    address: Mapped[str | None]
    action: Mapped[str]
    object_kind: Mapped[str]
    object_id: Mapped[str]
    object_name: Mapped[str | None]
    changes: Mapped[dict[str, list[Any]]] = mapped_column(sa.JSON)
