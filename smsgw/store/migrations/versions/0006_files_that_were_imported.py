"""Adds which files were imported on behalf of each CRM, and how far"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("crm_id", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("done_count", sa.Integer(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["crm_id"], ["crms.id"], name=op.f("fk_imports_crm_id_crms")),
        sa.PrimaryKeyConstraint("crm_id", "content_hash", name=op.f("pk_imports")),
    )


def downgrade() -> None:
    op.drop_table("imports")
