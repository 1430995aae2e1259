"""Stores devices, and what they sent that could not be read."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class Device(Table):
    """An Android phone. `id` is the `device_id` its owner chose; a removed one keeps its row and its history.

    `is_online` is what was last announced to CRMs; whether it is online now follows from `last_seen_at`. `online_since`
    is when it was last announced as online, `reset_at` when an operator last reset it.
    `protocol` is the one it spoke last: `cht`, `mysmsapio` or `socket`. `socket_id` names the socket that gets its
    messages: the one that was opened last, in whatever process. `revision` goes up with every write transaction of
    a poll, so a poll can tell that another one of the same device was committed while it was on its way.
    `quiet_revision`: a poll that was let in at this revision had nothing to report, so all our answers to earlier
    reports had arrived. `setup_revision`: at this one the phone was set up, perhaps as a new one that knows nothing of
    what it was handed before: its app checked its URL, its secret changed, or it was reset.
    `quarantine_dropped_count` counts the items that made room in the quarantine for newer ones.
    `owner_crm_id` is the CRM that registered it and uses it alone; `None` for the operators' devices. One that
    registered itself without a key is not `approved` until an operator says so, and is refused until then.
    `segments_per_…` and `recipients_per_month` are its own limits, `None` for the settings'. `counted_month`: the month
    of which all recipients are in `device_recipients`; while they are counted, `counted_until` is how far that is.
    After a failure for a limit the device gets nothing until `paused_until` and then one message at a time;
    `pause_count` is how many pauses have followed each other, 0 while it gets what it may. `failed_in_a_row` counts
    failures without a reason since its last success.
    """

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(primary_key=True)
    phone: Mapped[str | None]
    secret_hash: Mapped[str] = mapped_column(unique=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    approved: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    owner_crm_id: Mapped[str | None] = mapped_column(sa.ForeignKey("crms.id"), index=True)
    is_online: Mapped[bool] = mapped_column(default=False)
    online_since: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    app_version: Mapped[str | None]
    name: Mapped[str | None]
    protocol: Mapped[str] = mapped_column(default="cht", server_default="cht")
    socket_id: Mapped[str | None]
    revision: Mapped[int] = mapped_column(default=0)
    quiet_revision: Mapped[int | None]
    setup_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    unknown_report_count: Mapped[int] = mapped_column(default=0)
    quarantine_dropped_count: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]
    reset_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
    segments_per_minute: Mapped[int | None]
    segments_per_hour: Mapped[int | None]
    segments_per_day: Mapped[int | None]
    recipients_per_month: Mapped[int | None]
    counted_month: Mapped[str | None]
    counted_until: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]
    pause_count: Mapped[int] = mapped_column(sa.SmallInteger, default=0, server_default="0")
    pause_reason: Mapped[str | None]
    failed_in_a_row: Mapped[int] = mapped_column(sa.SmallInteger, default=0, server_default="0")


class DeviceRecipient(Table):
    """A number that a device was handed a message for in this month (`2026-03`), as a hash: a number may be removed."""

    __tablename__ = "device_recipients"
    __table_args__ = ({"sqlite_with_rowid": False},)

    device_id: Mapped[str] = mapped_column(sa.ForeignKey("devices.id"), primary_key=True)
    month: Mapped[str] = mapped_column(primary_key=True)
    recipient: Mapped[str] = mapped_column(primary_key=True)


class DeviceSilence(Table):
    """Something that a device no longer does, as it was announced; the row goes when the device does it again."""

    __tablename__ = "device_silences"

    device_id: Mapped[str] = mapped_column(sa.ForeignKey("devices.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    announced_at: Mapped[datetime]


class QuarantinedItem(Table):
    """One item of a device's batch that could not be taken, as it came. Equal items of a device count once."""

    __tablename__ = "quarantine"
    __table_args__ = (
        sa.UniqueConstraint("device_id", "item_hash"),
        sa.Index("ix_quarantine_device_id_id_size", "device_id", "id", "size"),
    )

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True
    )
    device_id: Mapped[str] = mapped_column(sa.ForeignKey("devices.id"))
    item_hash: Mapped[str]
    reason: Mapped[str]
    raw: Mapped[str] = mapped_column(sa.Text)
    size: Mapped[int] = mapped_column(server_default="0")
    received_at: Mapped[datetime]
