"""Lets the index alone answer which messages of a lane are due and not expired"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAME = "ix_messages_queue_due"
_IS_QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    _index(["lane", "due_at", "expires_at"])


def downgrade() -> None:
    _index(["lane", "due_at"])


def _index(columns: Sequence[str]) -> None:
    op.drop_index(_NAME, table_name="messages")
    op.create_index(
        _NAME, "messages", columns, sqlite_where=_IS_QUEUED, postgresql_where=_IS_QUEUED
    )
