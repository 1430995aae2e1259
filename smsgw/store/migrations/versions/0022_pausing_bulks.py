"""Pausing what was queued together"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_IS_MOVING = sa.text("moved_count IS NOT NULL")


def upgrade() -> None:
    op.add_column("bulks", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("bulks", sa.Column("paused_by", sa.String(), nullable=True))
    op.add_column("bulks", sa.Column("moved_count", sa.Integer(), nullable=True))
    op.create_index(
        "ix_bulks_moving", "bulks", ["id"], sqlite_where=_IS_MOVING, postgresql_where=_IS_MOVING
    )


def downgrade() -> None:
    # Versions before this one know no pause: it is held there as what a backup had queued, until `release`.
    op.execute("UPDATE messages SET lane = 'h:' || substr(lane, 3) WHERE lane LIKE 'p:%'")
    op.execute("UPDATE messages SET lane = 'h:' || substr(lane, 5) WHERE lane LIKE 'h:p:%'")
    op.drop_index("ix_bulks_moving", "bulks")
    op.drop_column("bulks", "moved_count")
    op.drop_column("bulks", "paused_by")
    op.drop_column("bulks", "paused_at")
