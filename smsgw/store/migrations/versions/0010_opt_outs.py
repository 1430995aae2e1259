"""Adds who wants no more messages, how often a text may be repeated, and which device a number last wrote with"""

import sqlalchemy as sa
from alembic import op

from smsgw.sms import text_hashes

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_IS_HASHED = sa.text("text_hash IS NOT NULL")


def upgrade() -> None:
    op.add_column("crms", sa.Column("stop_words", sa.JSON(), nullable=True))
    op.add_column("crms", sa.Column("start_words", sa.JSON(), nullable=True))
    op.add_column("crms", sa.Column("loop_guard", sa.Integer(), nullable=True))
    op.add_column(
        "crms",
        sa.Column("sticky_sender", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("messages", sa.Column("text_hash", sa.BigInteger(), nullable=True))
    _hash_queued(op.get_bind())
    op.create_index(
        "ix_messages_text_hash_created_at",
        "messages",
        ["text_hash", "created_at"],
        sqlite_where=_IS_HASHED,
        postgresql_where=_IS_HASHED,
    )
    op.create_table(
        "opt_outs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("crm_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("bare_number", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["crm_id"], ["crms.id"], name=op.f("fk_opt_outs_crm_id_crms")),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_opt_outs_message_id_messages")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opt_outs")),
        sa.UniqueConstraint("crm_id", "bare_number", name=op.f("uq_opt_outs_crm_id_bare_number")),
    )
    op.create_index("ix_opt_outs_crm_id_id", "opt_outs", ["crm_id", "id"])
    op.create_table(
        "last_devices",
        sa.Column("crm_id", sa.String(), nullable=False),
        sa.Column("bare_number", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("talked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["crm_id"], ["crms.id"], name=op.f("fk_last_devices_crm_id_crms")),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_last_devices_device_id_devices")
        ),
        sa.PrimaryKeyConstraint("crm_id", "bare_number", name=op.f("pk_last_devices")),
    )


def downgrade() -> None:
    op.drop_table("last_devices")
    op.drop_table("opt_outs")
    op.drop_index("ix_messages_text_hash_created_at", "messages")
    op.execute("UPDATE messages SET lane = 'c:' || crm_id WHERE lane LIKE 's:%'")
    op.drop_column("messages", "text_hash")
    op.drop_column("crms", "sticky_sender")
    op.drop_column("crms", "loop_guard")
    op.drop_column("crms", "start_words")
    op.drop_column("crms", "stop_words")


def _hash_queued(connection: sa.Connection) -> None:
    """Let an opt-out find what is queued now; what was queued earlier is never looked for by its hash."""
    messages = sa.table(
        "messages",
        *map(sa.column, ("id", "status", "crm_id", "to_number", "content")),
        sa.column("text_hash", sa.BigInteger()),
    )
    queued = sa.select(
        messages.c.id, messages.c.crm_id, messages.c.to_number, messages.c.content
    ).where(messages.c.status == "queued")
    values = [
        {
            "row_id": row.id,
            "hash": text_hashes.of_text(row.crm_id, row.to_number or "", row.content or ""),
        }
        for row in connection.execute(queued)
    ]
    if values:
        connection.execute(
            sa.update(messages)
            .where(messages.c.id == sa.bindparam("row_id"))
            .values(text_hash=sa.bindparam("hash")),
            values,
        )
