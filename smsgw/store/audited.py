"""Names the tables whose changes are audited, and the action that a change of each column is."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa

from .models import Crm, Device, Operator, WebhookEndpoint
from .tables import Table

# The fields of entries that are not columns.
SECRET = "secret"
ROUTES = "device_ids"
CRMS = "crms"
# The action is `enable` or `disable`.
SWITCH = "switch"


@dataclass(frozen=True)
class AuditedTable:
    """A table of things that people set up. Each column is audited, a new one too, unless it is `unaudited`.

    `actions`: what a change of a column is, the most important first; a change of any other is a `change`.
    """

    kind: str
    id: str
    name: str | None
    secret: str
    unaudited: frozenset[str]
    actions: Mapping[str, str]


AUDITED: dict[type[Table], AuditedTable] = {
    Device: AuditedTable(
        "device",
        id="id",
        name="id",
        secret="secret_hash",
        unaudited=frozenset(
            {
                *("is_online", "last_seen_at", "app_version", "protocol", "socket_id", "revision"),
                *("quiet_revision", "setup_revision", "unknown_report_count"),
                *("quarantine_dropped_count", "counted_month", "counted_until"),
                *("paused_until", "pause_count"),
                *("pause_reason", "failed_in_a_row", "online_since", "reset_at"),
            }
        ),
        actions={
            SECRET: "rotate",
            "owner_crm_id": "assign",
            "approved": "approve",
            "enabled": SWITCH,
            "segments_per_minute": "limit",
            "segments_per_hour": "limit",
            "segments_per_day": "limit",
            "recipients_per_month": "limit",
        },
    ),
    Crm: AuditedTable(
        "crm",
        id="id",
        name="name",
        secret="key_hash",
        unaudited=frozenset({"key_used_at"}),
        actions={
            SECRET: "rotate",
            ROUTES: "route",
            "uses_all_devices": "route",
            "approved": "approve",
            "enabled": SWITCH,
            "queue_limit": "limit",
            "requests_per_minute": "limit",
            "loop_guard": "limit",
        },
    ),
    Operator: AuditedTable(
        "operator",
        id="name",
        name="name",
        secret="key_hash",
        # `operators` notes a new password or a new source of codes, without the secrets.
        unaudited=frozenset({"password_hash", "totp_secret", "totp_step"}),
        actions={SECRET: "rotate", "role": "role", CRMS: "assign", "uses_all_crms": "assign"},
    ),
    WebhookEndpoint: AuditedTable(
        "webhook",
        id="id",
        name=None,
        secret="secrets",
        unaudited=frozenset(
            {
                *("disabled_at", "consecutive_failures", "failing_since", "failing_event_count"),
                *("last_success_at", "paused_until", "has_timed_out"),
            }
        ),
        actions={SECRET: "rotate", "enabled": SWITCH},
    ),
}
ACTIONS = {audited.kind: audited.actions for audited in AUDITED.values()}


@cache
def fields_of(table: type[Table]) -> Mapping[str, str]:
    """Return the audited columns of an audited table, with the name that each has in an entry."""
    audited = AUDITED[table]
    hidden = audited.unaudited | {audited.id, "created_at"}
    names = sa.inspect(table).column_attrs.keys()
    return {
        name: SECRET if name == audited.secret else name for name in names if name not in hidden
    }
