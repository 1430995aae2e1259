"""Counts of messages that were sent, failed and came in each hour, and an index of stuck messages"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_IS_STUCK = sa.text("stuck_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "hourly_counts",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("hour", name=op.f("pk_hourly_counts")),
    )
    op.create_table(
        "counted_history",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("history_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counted_history")),
    )
    # What is here already is not counted: it has no index by time.
    op.execute(
        "INSERT INTO counted_history (id, history_id) SELECT 1, coalesce(max(id), 0) FROM history"
    )
    op.create_index(
        "ix_messages_stuck", "messages", ["id"], sqlite_where=_IS_STUCK, postgresql_where=_IS_STUCK
    )


def downgrade() -> None:
    op.drop_index("ix_messages_stuck", "messages")
    op.drop_table("counted_history")
    op.drop_table("hourly_counts")
