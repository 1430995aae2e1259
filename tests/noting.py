"""What a database is asked, by SQLAlchemy or at the driver's cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from smsgw.store import statements
from smsgw.store.db import Database


@contextmanager
def noted(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements and their values, in order, as they come; without the hints that there is news."""
    seen: list[tuple[str, Any]] = []
    execute = statements.execute

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if not statement.startswith("NOTIFY"):
            seen.append((statement, values))

    def note_and_execute(connection: Any, text: str, values: Any, **more: Any) -> Any:
        seen.append((text, values))
        return execute(connection, text, values, **more)

    engines = {database.engine, database._writers}
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        with patch.object(statements, "execute", note_and_execute):
            yield seen
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", note)
