"""History without an index of dispatches: what was said of one is read by its message"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_history_dispatch_id_id", table_name="history")


def downgrade() -> None:
    op.create_index("ix_history_dispatch_id_id", "history", ["dispatch_id", "id"])
