"""Finds the INSERT with ON CONFLICT, which SQLAlchemy has for each kind of database separately.

A process imports only what belongs to its database: PostgreSQL's part takes 19 ms, of which SQLite needs nothing.
"""

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Dialect

from ..lazy_imports import lazy

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite
else:
    postgresql = lazy("sqlalchemy.dialects.postgresql")
    sqlite = lazy("sqlalchemy.dialects.sqlite")


def insert_into(table: Any, dialect: Dialect) -> Any:
    """Return an INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    kind = postgresql if dialect.name == "postgresql" else sqlite
    return kind.insert(table)
