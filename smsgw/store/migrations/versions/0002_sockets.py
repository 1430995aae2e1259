"""Adds which protocol a device speaks, which socket is its own, rates, and registration for a while"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("name", sa.String(), nullable=True))
    op.add_column(
        "devices", sa.Column("protocol", sa.String(), server_default="cht", nullable=False)
    )
    op.add_column("devices", sa.Column("socket_id", sa.String(), nullable=True))
    op.add_column(
        "dispatches", sa.Column("protocol", sa.String(), server_default="cht", nullable=False)
    )
    op.create_table(
        "rate_limits",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("arrival", sa.Double(), nullable=False),
        sa.Column("was_allowed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_limits")),
    )
    op.create_index(op.f("ix_rate_limits_arrival"), "rate_limits", ["arrival"])
    op.create_table(
        "pairing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pairing")),
    )


def downgrade() -> None:
    op.drop_table("pairing")
    op.drop_table("rate_limits")
    op.drop_column("dispatches", "protocol")
    op.drop_column("devices", "socket_id")
    op.drop_column("devices", "protocol")
    op.drop_column("devices", "name")
