"""Databases that are copied to others"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "database_copies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("other", sa.String(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("step", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("progress", sa.JSON(), nullable=False, server_default="{}"),
        sa.CheckConstraint("role IN ('source', 'target')", name=op.f("ck_database_copies_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database_copies")),
    )


def downgrade() -> None:
    op.drop_table("database_copies")
