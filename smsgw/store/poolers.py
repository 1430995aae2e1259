"""Finds out whether a pooler such as PgBouncer stands between us and PostgreSQL.

A pooler may hand each transaction to another server connection. What belongs to a session is lost there, or found by
somebody else: prepared statements (whose names are the same in each of our processes), `SET`, `LISTEN`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg


def is_pooled(connection: "psycopg.Connection[Any]") -> bool:
    """Return whether a pooler answers on this connection, which must be idle.

    The process of the server that answers is then not the one that was named when we connected: by that name a client
    can cancel what runs, so a pooler that shares the server's processes must give out different names.
    """
    was, connection.autocommit = connection.autocommit, True
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    connection.autocommit = was
    return row != (connection.info.backend_pid,)
