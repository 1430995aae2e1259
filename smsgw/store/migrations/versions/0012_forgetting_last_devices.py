"""Adds an index by which a retention time finds who has exchanged messages with no device for long"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_last_devices_talked_at", "last_devices", ["talked_at"])


def downgrade() -> None:
    op.drop_index("ix_last_devices_talked_at", "last_devices")
