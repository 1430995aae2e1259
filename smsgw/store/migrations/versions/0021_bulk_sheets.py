"""Uploaded files that are mended on the dashboard before they are queued"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bulk_sheets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("crm_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("uploaded_by", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["crm_id"], ["crms.id"], name=op.f("fk_bulk_sheets_crm_id_crms")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_sheets")),
    )
    op.create_index("ix_bulks_created_at", "bulks", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_bulks_created_at", "bulks")
    op.drop_table("bulk_sheets")
