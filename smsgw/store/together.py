"""Writes the rows of several tables with one statement where a trip to the database costs more than the rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from . import statements
from .inserts import Insert
from .queries import RowUpdate
from .sessions import connection_of, dialect_of


class Together:
    """Some inserts and updates that are often made at the same time.

    On PostgreSQL they are parts of one statement: none of them sees what another has written, and no two may change the
    same row. On SQLite, where a statement is a call, they run one after another.
    """

    def __init__(self, *writes: Insert[Any] | RowUpdate[Any]) -> None:
        self._writes = writes

    def run(self, session: Session, *rows: Sequence[Any]) -> None:
        """Write these rows, some for each of the writes in their order."""
        parts = [part for part in zip(self._writes, rows, strict=True) if part[1]]
        if dialect_of(session).name != "postgresql":
            for write, some in parts:
                write.all(session, some)
        elif parts:
            _run_at_once(session, parts)


def _run_at_once(
    session: Session, parts: Sequence[tuple[Insert[Any] | RowUpdate[Any], Sequence[Any]]]
) -> None:
    connection = connection_of(session)
    made = [write.in_arrays(connection.dialect, rows) for write, rows in parts]
    *others, last = [text for text, _ in made]
    before = ", ".join(f"part_{place} AS ({text})" for place, text in enumerate(others))
    text = f"WITH {before} {last}" if others else last
    statements.execute(connection, text, tuple([value for _, values in made for value in values]))
