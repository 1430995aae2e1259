"""Roles, passwords and codes of operators, and the browsers in which they are signed in"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("operators") as batch:
        batch.add_column(sa.Column("role", sa.String(), server_default="operator", nullable=False))
        batch.add_column(
            sa.Column("uses_all_crms", sa.Boolean(), server_default=sa.true(), nullable=False)
        )
        batch.add_column(sa.Column("password_hash", sa.String(), nullable=True))
        batch.add_column(sa.Column("totp_secret", sa.String(), nullable=True))
        batch.add_column(sa.Column("totp_step", sa.BigInteger(), nullable=True))
        batch.create_check_constraint(
            op.f("ck_operators_role"), "role IN ('viewer', 'clerk', 'operator')"
        )
    op.create_table(
        "operator_crms",
        sa.Column("operator_name", sa.String(), nullable=False),
        sa.Column("crm_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_name"],
            ["operators.name"],
            name=op.f("fk_operator_crms_operator_name_operators"),
        ),
        sa.ForeignKeyConstraint(["crm_id"], ["crms.id"], name=op.f("fk_operator_crms_crm_id_crms")),
        sa.PrimaryKeyConstraint("operator_name", "crm_id", name=op.f("pk_operator_crms")),
    )
    op.create_index(op.f("ix_operator_crms_crm_id"), "operator_crms", ["crm_id"])
    op.create_table(
        "browser_sessions",
        sa.Column("id_hash", sa.String(), nullable=False),
        sa.Column("operator_name", sa.String(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_browser_sessions")),
    )
    op.create_index(
        op.f("ix_browser_sessions_operator_name"), "browser_sessions", ["operator_name"]
    )
    op.create_index(op.f("ix_browser_sessions_last_seen_at"), "browser_sessions", ["last_seen_at"])


def downgrade() -> None:
    op.drop_table("browser_sessions")
    op.drop_table("operator_crms")
    # A key that may only read or send must not become one that may do everything.
    op.execute("DELETE FROM operators WHERE role <> 'operator'")
    with op.batch_alter_table("operators") as batch:
        batch.drop_constraint(op.f("ck_operators_role"), type_="check")
        batch.drop_column("totp_step")
        batch.drop_column("totp_secret")
        batch.drop_column("password_hash")
        batch.drop_column("uses_all_crms")
        batch.drop_column("role")
