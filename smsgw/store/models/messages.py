"""Stores messages, their dispatches to devices, and the history of both."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ...sms import statuses
from ..tables import Table, partial_index

_IS_QUEUED = f"status = '{statuses.QUEUED}'"
_IS_ACTIVE = f"status IN {statuses.ACTIVE}"
_IS_INBOUND = "direction = 'inbound'"
_IS_HASHED = "text_hash IS NOT NULL"
_IS_STUCK = "stuck_at IS NOT NULL"


class Message(Table):
    """One SMS, inbound or outbound.

    `lane` is where an outbound message queues: `d:<device_id>` when it names its device, `s:<crm_id>:<device_id>` when
    it is kept for the device that its number last talked with (`core/devices/lanes`), `c:<crm_id>` when any
    device of its CRM may take it; `device_id` is the device that has it or had it last. `due_at` is `send_at`
    or the moment of queueing. `inbound_key` makes an inbound SMS unique for good; it outlives the content,
    which a retention time may blank (`purged_at`). `text_hash` is of CRM, number and text of an outbound message
    (`sms/text_hashes`), until that is blanked.
    """

    __tablename__ = "messages"
    __table_args__ = (
        sa.CheckConstraint("direction IN ('inbound', 'outbound')", name="direction"),
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        sa.UniqueConstraint("crm_id", "reference"),
        sa.Index("ix_messages_crm_id_status_id", "crm_id", "status", "id"),
        sa.Index("ix_messages_crm_id_id", "crm_id", "id"),
        partial_index(
            "ix_messages_inbound_device_id_id",
            "device_id",
            "id",
            where=_IS_INBOUND,
        ),
        partial_index(
            "ix_messages_inbound_from_number_id",
            "from_number",
            "id",
            where=_IS_INBOUND,
        ),
        partial_index("ix_messages_stuck", "id", where=_IS_STUCK),
        partial_index(
            "ix_messages_queue_due",
            "lane",
            "due_at",
            "expires_at",
            where=_IS_QUEUED,
        ),
        partial_index(
            "ix_messages_queue_order",
            "lane",
            "priority",
            "due_at",
            "id",
            where=_IS_QUEUED,
        ),
        partial_index(
            "ix_messages_queue_expires",
            "expires_at",
            where=_IS_QUEUED,
        ),
        partial_index(
            "ix_messages_text_hash_created_at",
            "text_hash",
            "created_at",
            where=_IS_HASHED,
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    direction: Mapped[str]
    status: Mapped[str]
    crm_id: Mapped[str | None] = mapped_column(sa.ForeignKey("crms.id"))
    device_id: Mapped[str | None] = mapped_column(sa.ForeignKey("devices.id"))
    lane: Mapped[str | None]
    from_number: Mapped[str | None]
    to_number: Mapped[str | None]
    content: Mapped[str | None] = mapped_column(sa.Text)
    encoding: Mapped[str]
    segments: Mapped[int]
    reason: Mapped[str | None]
    reason_class: Mapped[str | None]
    text_hash: Mapped[int | None] = mapped_column(sa.BigInteger)
    reference: Mapped[str | None]
    request_hash: Mapped[str | None]
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", sa.JSON(none_as_null=True))
    priority: Mapped[int] = mapped_column(sa.SmallInteger, default=4)
    send_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    stuck_at: Mapped[datetime | None]
    inbound_key: Mapped[str | None] = mapped_column(unique=True)
    device_received_at: Mapped[datetime | None]
    sms_sent_at: Mapped[datetime | None]
    purged_at: Mapped[datetime | None]


class InboxEntry(Table):
    """This inbound message was routed to this CRM when it came in."""

    __tablename__ = "inbox"

    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), primary_key=True)
    message_id: Mapped[str] = mapped_column(
        sa.ForeignKey("messages.id"), primary_key=True, index=True
    )


class Dispatch(Table):
    """One handing of an outbound message to one device; `id` is what the phone sees.

    `superseded_at`: a resend took its place; from then on it speaks for the message only when it was sent.
    `status_at` is when it came to its status, `retry_count` how often the radio tried again (UNSENT after PENDING).
    `reported_revision` is its device's revision when the phone last spoke of it. `in_doubt_since`: its phone was set up
    then before it had confirmed this one; `polls_in_doubt` is how many polls have not confirmed it since.
    """

    __tablename__ = "dispatches"
    __table_args__ = (
        partial_index(
            "ix_dispatches_active",
            "device_id",
            "status",
            where=_IS_ACTIVE,
        ),
        # With the segments, so that limits are counted from the index alone.
        sa.Index(
            "ix_dispatches_device_id_last_handed_out_at",
            "device_id",
            "last_handed_out_at",
            "segments",
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(sa.ForeignKey("messages.id"), index=True)
    device_id: Mapped[str] = mapped_column(sa.ForeignKey("devices.id"))
    protocol: Mapped[str] = mapped_column(default="cht", server_default="cht")
    status: Mapped[str]
    status_at: Mapped[datetime]
    reason: Mapped[str | None]
    reason_class: Mapped[str | None]
    segments: Mapped[int]
    hand_out_count: Mapped[int]
    retry_count: Mapped[int] = mapped_column(default=0)
    handed_out_at: Mapped[datetime]
    last_handed_out_at: Mapped[datetime]
    lease_until: Mapped[datetime]
    reported_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    acknowledged_at: Mapped[datetime | None]
    in_doubt_since: Mapped[datetime | None]
    polls_in_doubt: Mapped[int] = mapped_column(sa.SmallInteger, default=0, server_default="0")
    superseded_at: Mapped[datetime | None]
    stuck_at: Mapped[datetime | None]


class HistoryEntry(Table):
    """One thing that happened to a message, or that a phone said about it. Only ever added to.

    `reported` is the phone's own word when a phone said it, whether or not it changed anything.
    """

    __tablename__ = "history"
    __table_args__ = (sa.Index("ix_history_message_id_id", "message_id", "id"),)

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True
    )
    message_id: Mapped[str] = mapped_column(sa.ForeignKey("messages.id"))
    dispatch_id: Mapped[str | None] = mapped_column(sa.ForeignKey("dispatches.id"))
    device_id: Mapped[str | None] = mapped_column(sa.ForeignKey("devices.id"))
    status: Mapped[str]
    reason: Mapped[str | None]
    reported: Mapped[str | None]
    at: Mapped[datetime]
