"""Adds when a phone was set up, what is in doubt since, and up to which revision all reports were answered"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("quiet_revision", sa.Integer(), nullable=True))
    op.add_column(
        "devices", sa.Column("setup_revision", sa.Integer(), server_default="0", nullable=False)
    )
    op.drop_column("devices", "quiet_at")
    op.add_column(
        "dispatches",
        sa.Column("reported_revision", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column(
        "dispatches", sa.Column("in_doubt_since", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "dispatches",
        sa.Column("polls_in_doubt", sa.SmallInteger(), server_default="0", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("dispatches", "polls_in_doubt")
    op.drop_column("dispatches", "in_doubt_since")
    op.drop_column("dispatches", "reported_revision")
    op.add_column("devices", sa.Column("quiet_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_column("devices", "setup_revision")
    op.drop_column("devices", "quiet_revision")
