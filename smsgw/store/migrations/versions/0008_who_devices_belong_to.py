"""Adds whose each device is, and which devices and CRMs an operator has approved

A device becomes its CRM's own where nobody else ever used it. All others stay the operators', so that nobody who works
now is cut off; the log names those that a CRM may have registered and others used as well.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LOG = logging.getLogger("smsgw.migrations")

# Only the CRM WebSocket API let a CRM register a device, and it put down one route for it. What such a device speaks now
# may be anything: then it looks like one that an operator added and routed.
_ROUTED_TO_ONE = sa.text("""
    SELECT devices.id, min(crm_devices.crm_id), devices.protocol
    FROM devices
    JOIN crm_devices ON crm_devices.device_id = devices.id
    JOIN crms ON crms.id = crm_devices.crm_id AND crms.removed_at IS NULL
    WHERE devices.removed_at IS NULL
    GROUP BY devices.id, devices.protocol HAVING count(*) = 1
""")
_MAY_USE_ALL = sa.text("SELECT count(*) FROM crms WHERE uses_all_devices AND removed_at IS NULL")
_USERS = sa.text("""
    SELECT DISTINCT messages.device_id, messages.crm_id FROM messages
    WHERE messages.direction = 'outbound' AND messages.device_id IN :device_ids
    UNION
    SELECT DISTINCT messages.device_id, inbox.crm_id FROM messages
    JOIN inbox ON inbox.message_id = messages.id WHERE messages.device_id IN :device_ids
""").bindparams(sa.bindparam("device_ids", expanding=True))
_OWN = sa.text("UPDATE devices SET owner_crm_id = :crm_id WHERE id = :device_id")
_COUNT = sa.text("SELECT count(*) FROM devices WHERE removed_at IS NULL AND owner_crm_id IS NULL")


def upgrade() -> None:
    with op.batch_alter_table("crms") as crms:
        crms.add_column(
            sa.Column("approved", sa.Boolean(), server_default=sa.true(), nullable=False)
        )
    with op.batch_alter_table("devices") as devices:
        devices.add_column(
            sa.Column("approved", sa.Boolean(), server_default=sa.true(), nullable=False)
        )
        devices.add_column(sa.Column("owner_crm_id", sa.String(), nullable=True))
        devices.create_foreign_key(
            op.f("fk_devices_owner_crm_id_crms"), "crms", ["owner_crm_id"], ["id"]
        )
        devices.create_index(op.f("ix_devices_owner_crm_id"), ["owner_crm_id"])
    _find_owners()


def downgrade() -> None:
    # A device that waits for approval would be let in by the version before, and a CRM's own device used by all.
    op.execute("UPDATE devices SET enabled = false WHERE NOT approved OR owner_crm_id IS NOT NULL")
    op.execute("UPDATE crms SET enabled = false WHERE NOT approved")
    with op.batch_alter_table("devices") as devices:
        devices.drop_index(op.f("ix_devices_owner_crm_id"))
        devices.drop_constraint(op.f("fk_devices_owner_crm_id_crms"), type_="foreignkey")
        devices.drop_column("owner_crm_id")
        devices.drop_column("approved")
    with op.batch_alter_table("crms") as crms:
        crms.drop_column("approved")


def _find_owners() -> None:
    connection = op.get_bind()
    rows = connection.execute(_ROUTED_TO_ONE).all()
    routed = {row[0]: row[1] for row in rows if row[2] == "socket"}
    shared = _used_by_others(connection, routed) if routed else set()
    for device_id in sorted(routed.keys() - shared):
        values = {"device_id": device_id, "crm_id": routed[device_id]}
        connection.execute(_OWN, values)
    if connection.execute(_MAY_USE_ALL).scalar_one():
        shared |= {row[0] for row in rows} - routed.keys()
    _tell(len(routed.keys() - shared), sorted(shared))
    count = connection.execute(_COUNT).scalar_one()
    if count:
        _LOG.info("%d devices belong to the operators; all count as approved", count)


def _used_by_others(connection: sa.Connection, routed: dict[str, str]) -> set[str]:
    rows = connection.execute(_USERS, {"device_ids": sorted(routed)})
    return {device_id for device_id, crm_id in rows if crm_id != routed[device_id]}


def _tell(owned_count: int, shared: list[str]) -> None:
    if owned_count:
        _LOG.info("%d devices belong to the CRM that alone was routed to them", owned_count)
    if shared:
        _LOG.warning(
            "%d devices are routed to one CRM and used by others too, or may be; they stay the operators'. "
            "Where a CRM registered one of these, say so with 'device assign': %s%s",
            len(shared),
            ", ".join(shared[:20]),
            " …" if len(shared) > 20 else "",
        )
