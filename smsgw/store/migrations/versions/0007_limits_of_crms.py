"""Adds how much a CRM may queue and ask, and how much room its queue and each device's has"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("crms", sa.Column("queue_limit", sa.Integer(), nullable=True))
    op.add_column("crms", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.create_table(
        "queue_rooms",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("room", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_queue_rooms")),
    )


def downgrade() -> None:
    op.drop_table("queue_rooms")
    op.drop_column("crms", "requests_per_minute")
    op.drop_column("crms", "queue_limit")
