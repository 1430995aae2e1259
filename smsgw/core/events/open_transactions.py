"""Finds PostgreSQL's open transactions that write to this database; others of the same server do not count."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.db import is_postgresql

# A snapshot names the open transactions of the whole server. One is left out only where it is known to write elsewhere:
# who holds a transaction's lock, and in which database, is shown to every role (pg_locks, and pg_stat_activity except
# for what a session does). A transaction that has its number but not its lock yet still counts.
OLDEST: sa.ColumnElement[int] = sa.literal_column(
    """(
    SELECT least(
        min(open.number),
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
        pg_current_xact_id_if_assigned()::text::bigint
    )
    FROM (
        SELECT number::text::bigint AS number
        FROM pg_snapshot_xip(pg_current_snapshot()) AS number
        WHERE NOT EXISTS (
            SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE pg_locks.locktype = 'transactionid' AND pg_locks.mode = 'ExclusiveLock' AND pg_locks.granted
            AND pg_locks.transactionid = number::xid
            AND pg_stat_activity.datname IS DISTINCT FROM current_database()
        )
        AND NOT EXISTS (
            SELECT FROM pg_prepared_xacts
            WHERE transaction = number::xid AND database <> current_database()
        )
    ) AS open
    )""",
    sa.BigInteger,
)

_OPEN = sa.text(
    """
    SELECT 'pid ' || pid AS name, xact_start AS began_at, 'SELECT pg_terminate_backend(' || pid || ')' AS ending
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid IN (
        SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
    )
    UNION ALL
    SELECT 'prepared ' || gid, prepared, 'ROLLBACK PREPARED ' || quote_literal(gid)
    FROM pg_prepared_xacts WHERE database = current_database()
    ORDER BY began_at
    """
)


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that has written: its session, since when (`None` where another role hides it), what ends it."""

    name: str
    began_at: datetime | None
    ending: str


def everyone(session: Session) -> list[OpenTransaction]:
    """Return the other transactions that have written to this database and are open, the oldest first."""
    if not is_postgresql(session):
        return []
    return [OpenTransaction(*row) for row in session.execute(_OPEN)]
