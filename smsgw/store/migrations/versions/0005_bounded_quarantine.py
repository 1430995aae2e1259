"""Adds how large each item of the quarantine is, and how many of a device were dropped"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "devices",
        sa.Column("quarantine_dropped_count", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column("quarantine", sa.Column("size", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE quarantine SET size = length(raw)")
    op.create_index("ix_quarantine_device_id_id_size", "quarantine", ["device_id", "id", "size"])


def downgrade() -> None:
    op.drop_index("ix_quarantine_device_id_id_size", "quarantine")
    op.drop_column("quarantine", "size")
    op.drop_column("devices", "quarantine_dropped_count")
