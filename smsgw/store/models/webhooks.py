"""Stores webhook endpoints, deliveries (one event for one endpoint) and attempts (one HTTP request)."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table, partial_index

_IS_PENDING = "status = 'pending'"
_IS_CLAIMED = "claim IS NOT NULL"
_IS_SINGLE = "status = 'pending' AND retry_step IS NULL"


class WebhookEndpoint(Table):
    """The place where a CRM wants its events. `events` and `device_ids` are lists, or null for all.

    `secrets` is `[{"secret": "whsec_…", "expires_at": "…Z" | null}]`, newest first; every live one signs.
    `paused_until` is the breaker: no claim before it. `failing_since` starts with the first failure after a success,
    and `failing_event_count` counts the events whose first attempt has failed since then.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[str] = mapped_column(primary_key=True)
    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), index=True)
    url: Mapped[str]
    events: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    device_ids: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    secrets: Mapped[list[dict[str, str | None]]] = mapped_column(sa.JSON)
    enabled: Mapped[bool] = mapped_column(default=True)
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    consecutive_failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None]
    failing_event_count: Mapped[int] = mapped_column(default=0)
    last_success_at: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]
    has_timed_out: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class Delivery(Table):
    """One event for one endpoint: `pending → delivered | discarded`.

    A claimed row is a pending row whose `next_attempt_at` lies one lease ahead and whose `claim` names the claimer,
    so a dead worker needs no rescue and its late answer changes nothing. `retry_step` is how many steps of the retry
    schedule are used up; null means a single attempt asked for by hand, which has no schedule. `is_manual` is about
    the next attempt: somebody asked for it.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        sa.UniqueConstraint("event_id", "endpoint_id"),
        partial_index(
            "ix_deliveries_due",
            "endpoint_id",
            "next_attempt_at",
            where=_IS_PENDING,
        ),
        partial_index(
            "ix_deliveries_single",
            "endpoint_id",
            "next_attempt_at",
            where=_IS_SINGLE,
        ),
        partial_index(
            "ix_deliveries_claimed",
            "endpoint_id",
            "next_attempt_at",
            where=_IS_CLAIMED,
        ),
        sa.Index("ix_deliveries_endpoint_id_id", "endpoint_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(sa.ForeignKey("events.id"))
    endpoint_id: Mapped[str] = mapped_column(sa.ForeignKey("webhook_endpoints.id"))
    status: Mapped[str] = mapped_column(default="pending")
    attempt_count: Mapped[int] = mapped_column(default=0)
    retry_step: Mapped[int | None] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    claim: Mapped[str | None]
    is_manual: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class Attempt(Table):
    """One HTTP request of a delivery and what came of it: a `status_code`, or an `error` with its `detail`."""

    __tablename__ = "attempts"
    __table_args__ = (sa.Index("ix_attempts_delivery_id_id", "delivery_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(sa.ForeignKey("deliveries.id"))
    started_at: Mapped[datetime]
    duration_seconds: Mapped[float]
    status_code: Mapped[int | None]
    error: Mapped[str | None]
    detail: Mapped[str | None]
    response_text: Mapped[str | None] = mapped_column(sa.Text)
    is_manual: Mapped[bool]
