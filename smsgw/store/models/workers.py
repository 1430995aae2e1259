"""Stores the heartbeats of workers."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class WorkerHeartbeat(Table):
    """A worker process that delivers webhooks and runs periodic tasks; `id` is host and process id."""

    __tablename__ = "worker_heartbeats"

    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
