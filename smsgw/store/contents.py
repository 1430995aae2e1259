"""Counts the contents of a database of any revision."""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .db import REVISION_TABLE
from .tables import Table

_SHOWN = {"messages": "message", "devices": "phone", "crms": "CRM", "events": "event"}


class Contents(NamedTuple):
    """The revision of a database's tables, how many rows each of them has, and when the newest message came."""

    revision: str
    counts: dict[str, int]
    newest_message_at: str | None

    @property
    def summary(self) -> str:
        """Return the most important counts in words."""
        found = [(self.counts.get(name, 0), word) for name, word in _SHOWN.items()]
        return ", ".join(f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in found)


def find(connection: Connection) -> Contents | None:
    """Return the contents, `None` where the tables are not ours."""
    names = set(sa.inspect(connection).get_table_names())
    if REVISION_TABLE not in names or "messages" not in names:
        return None
    revision = connection.scalar(sa.text(f"SELECT version_num FROM {REVISION_TABLE}"))
    ours = [name for name in Table.metadata.tables if name in names]
    counts = {
        name: connection.scalars(sa.select(sa.func.count()).select_from(sa.table(name))).one()
        for name in ours
    }
    newest = connection.scalar(sa.text("SELECT created_at FROM messages ORDER BY id DESC LIMIT 1"))
    return Contents(revision, counts, newest and str(newest)[:19]) if revision else None
