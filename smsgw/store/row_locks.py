"""Tells which rows a running transaction has locked, its own ones too, without waiting for it or taking a lock.

PostgreSQL notes in each row the transaction that was the last to lock it. On SQLite writers come one after another, and
a reader knows nothing of the one that is writing.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from .tables import Table

# The most transactions that may begin while a statement runs; the row of a later one passes for free.
_MOST_SINCE = 1000


class IsLocked(sa.ColumnElement[bool]):
    """The condition that a running transaction has locked the row of this table."""

    inherit_cache = False

    def __init__(self, table: type[Table]) -> None:
        self.table_name = table.__tablename__
        self.type = sa.Boolean()


@compiles(IsLocked, "sqlite")
def _on_sqlite(_element: IsLocked, _compiler: Any, **_options: Any) -> str:
    return "0"


@compiles(IsLocked, "postgresql")
def _on_postgresql(element: IsLocked, _compiler: Any, **_options: Any) -> str:
    """Compare the lower half of a transaction's id, which the row has, with the transactions that run now.

    A number far ahead of them is an id from before the last overflow of that half, or stands for several transactions
    that have locked the row, which PostgreSQL numbers on their own. No list of transactions is made, which would cost
    something also where no row is found.
    """
    next_id = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    locker = f"(({next_id} >> 32 << 32) + {element.table_name}.xmax::text::bigint)"
    has_ended = f"pg_visible_in_snapshot({locker}::text::xid8, pg_current_snapshot())"
    return f"(NOT {has_ended} AND {locker} < {next_id} + {_MOST_SINCE})"
