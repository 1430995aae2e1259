"""Adds what devices no longer do, since when each has been online, and when it was reset"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_IS_INBOUND = sa.text("direction = 'inbound'")


def upgrade() -> None:
    op.add_column("devices", sa.Column("online_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("devices", sa.Column("reset_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE devices SET online_since = last_seen_at WHERE is_online")
    op.create_table(
        "device_silences",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_device_silences_device_id_devices")
        ),
        sa.PrimaryKeyConstraint("device_id", "reason", name=op.f("pk_device_silences")),
    )
    op.create_index(
        "ix_messages_inbound_device_id_id",
        "messages",
        ["device_id", "id"],
        sqlite_where=_IS_INBOUND,
        postgresql_where=_IS_INBOUND,
    )


def downgrade() -> None:
    op.drop_index("ix_messages_inbound_device_id_id", "messages")
    op.drop_table("device_silences")
    op.drop_column("devices", "reset_at")
    op.drop_column("devices", "online_since")
