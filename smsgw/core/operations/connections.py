"""Checks whether PostgreSQL accepts as many connections as the server's processes may want."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.db import is_postgresql
from .finding import Finding

# A process has one for each thread that writes, one for each that reads, and some for its sockets and for listening.
BESIDES_THREADS = 10
WORKER = 5
_NEARLY = 0.9

# The server's limit, and those that the role and the database may have: how many each accepts, how many of them are
# used, and how many of these by other databases; and how many machines are connected as this one is.
_LIMITS = sa.text(
    """
    WITH clients AS (
        SELECT
            count(*) AS all_used,
            count(*) FILTER (WHERE datname IS DISTINCT FROM current_database()) AS of_others,
            count(*) FILTER (WHERE usename = current_user) AS of_role,
            count(*) FILTER (WHERE datname = current_database()) AS of_database,
            count(DISTINCT coalesce(host(client_addr), '')) FILTER (
                WHERE datname = current_database()
                AND application_name = current_setting('application_name')
            ) AS machines
        FROM pg_stat_activity WHERE backend_type = 'client backend'
    )
    SELECT
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true), '0')::int AS most,
        all_used AS used, of_others, machines
    FROM clients
    UNION ALL
    SELECT rolconnlimit, of_role, 0, machines FROM clients, pg_roles
    WHERE rolname = current_user AND rolconnlimit >= 0
    UNION ALL
    SELECT datconnlimit, of_database, 0, machines FROM clients, pg_database
    WHERE datname = current_database() AND datconnlimit >= 0
    """
)


def findings(session: Session, settings: Settings) -> Iterator[Finding]:
    """Yield a finding on PostgreSQL, unless a pooler stands before it, which shares its connections out by itself."""
    if not is_postgresql(session) or _is_pooled(session):
        return
    limits = session.execute(_LIMITS).all()
    most, used, _, machines = min(limits, key=lambda limit: limit.most - limit.used)
    room = min(limit.most - limit.of_others for limit in limits)
    wanted = machines * (settings.workers * (2 * settings.threads + BESIDES_THREADS) + WORKER)
    wanting = "this machine" if machines == 1 else f"the {machines} connected machines"
    advice = (
        "raise max_connections of PostgreSQL, or the limit of its role or database, lower SMSGW_WORKERS or "
        "SMSGW_THREADS, or use PgBouncer (docs/several-machines.md)"
    )
    if used >= _NEARLY * most:
        text = f"{used} of the {most} connections that PostgreSQL accepts are used"
        yield Finding("connections", "wrong", text, advice)
    elif wanted > room:
        text = f"{wanting} may want {wanted} connections, and PostgreSQL accepts {room}"
        yield Finding("connections", "warning", text, advice)
    else:
        text = f"PostgreSQL accepts {most}; {used} are used, and {wanting} may want {wanted}"
        yield Finding("connections", "ok", text)


def _is_pooled(session: Session) -> bool:
    driver: Any = session.connection().connection.dbapi_connection
    # The engine lets nothing be prepared where a pooler answers.
    return driver.prepare_threshold is None
