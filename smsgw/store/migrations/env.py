"""Runs the migrations on the connection that `upgrade()` hands in, inside its transaction."""

from typing import Any, Literal

from alembic import context

from smsgw.store import models  # noqa: F401  registers the tables
from smsgw.store.tables import Table, UtcMoment


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our moments into new migrations as what they are in the database."""
    if kind == "type" and isinstance(item, UtcMoment):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
    render_item=_render,
    compare_type=True,
)
context.run_migrations()
