"""Adds up to where people have read what numbers wrote, and an index of inbound messages by their sender"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_IS_INBOUND = sa.text("direction = 'inbound'")


def upgrade() -> None:
    op.create_table(
        "read_marks",
        sa.Column("crm_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("read_up_to", sa.String(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("crm_id", "number", name=op.f("pk_read_marks")),
    )
    op.create_index(op.f("ix_read_marks_marked_at"), "read_marks", ["marked_at"])
    op.create_index(
        "ix_messages_inbound_from_number_id",
        "messages",
        ["from_number", "id"],
        sqlite_where=_IS_INBOUND,
        postgresql_where=_IS_INBOUND,
    )
    # What is here already does not count as new.
    op.execute(
        "INSERT INTO read_marks (crm_id, number, read_up_to, marked_at) "
        "SELECT coalesce(inbox.crm_id, ''), from_number, max(messages.id), max(created_at) FROM messages "
        "LEFT JOIN inbox ON inbox.message_id = messages.id "
        "WHERE direction = 'inbound' AND from_number IS NOT NULL GROUP BY 1, 2"
    )


def downgrade() -> None:
    op.drop_index("ix_messages_inbound_from_number_id", "messages")
    op.drop_table("read_marks")
