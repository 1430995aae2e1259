"""Stores answers to requests that carried an `Idempotency-Key`."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class IdempotentRequest(Table):
    """The first answer to a key of a caller, given again for 24 hours. `caller` is a CRM's id or `op:<name>`."""

    __tablename__ = "idempotent_requests"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    status_code: Mapped[int | None]
    location: Mapped[str | None]
    body: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(index=True)
