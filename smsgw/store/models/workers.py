"""Stores the heartbeats of workers."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class WorkerHeartbeat(Table):
    """A worker process that delivers webhooks and runs periodic tasks; `id` is host and process id.

    `webhook_attempts` counts its webhook requests since it started, by outcome.
    """

    __tablename__ = "worker_heartbeats"

    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    webhook_attempts: Mapped[dict[str, int]] = mapped_column(sa.JSON, server_default="{}")
