"""Limits on what each device is handed, whom it was handed messages for, and when it is paused"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_LIMITS = ("segments_per_minute", "segments_per_hour", "segments_per_day", "recipients_per_month")
_INDEX = "ix_dispatches_device_id_last_handed_out_at"


def upgrade() -> None:
    for column in _columns():
        op.add_column("devices", column)
    op.create_table(
        "device_recipients",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_device_recipients_device_id_devices")
        ),
        sa.PrimaryKeyConstraint(
            "device_id", "month", "recipient", name=op.f("pk_device_recipients")
        ),
        sqlite_with_rowid=False,
    )
    _index(["device_id", "last_handed_out_at", "segments"])


def downgrade() -> None:
    _index(["device_id", "last_handed_out_at"])
    op.drop_table("device_recipients")
    for column in reversed(_columns()):
        op.drop_column("devices", column.name)


def _columns() -> list[sa.Column[Any]]:
    counts = ("pause_count", "failed_in_a_row")
    return [
        *(sa.Column(name, sa.Integer(), nullable=True) for name in _LIMITS),
        sa.Column("counted_month", sa.String(), nullable=True),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pause_reason", sa.String(), nullable=True),
        *(
            sa.Column(name, sa.SmallInteger(), server_default="0", nullable=False)
            for name in counts
        ),
    ]


def _index(columns: Sequence[str]) -> None:
    op.drop_index(_INDEX, table_name="dispatches")
    op.create_index(_INDEX, "dispatches", columns)
