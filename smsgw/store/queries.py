"""Runs the statements that every poll, message and webhook needs: the one typed way besides a SQLAlchemy session.

A `Query` gives rows, a `Change` gives none; both are made once, at the top of a module, from a SQLAlchemy statement, or
where the databases differ from a function that makes one for a dialect. A query has a row class that is checked against
the statement's columns when it is made, or when it first runs if a function makes its statement. What has been compiled
is kept by the object itself: a statement made for each call would be compiled for each call, and could never run as
another.

All but `read` write first what the session has not written yet. Values are given by the names of the statement's
parameters, all of them and no others; lists are for `IN`, and where one statement cannot hold them they are run in
slices, the rows of one slice after those of another.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql import visitors

from . import arrays, row_classes, statements
from .db import Database
from .sessions import connection_of
from .statements import AnyConnection, Compiled, Statement, Values
from .tables import Table, columns_by_attribute, plain

R = TypeVar("R")
T = TypeVar("T")
Wanted = Statement | Callable[[Dialect], Statement]


def not_null(column: InstrumentedAttribute[T | None]) -> sa.Label[T]:
    """Return a column to select where the statement's conditions leave out its NULLs."""
    return sa.type_coerce(column, column.type).label(column.key)


def written_out(word: str) -> sa.ColumnClause[str]:
    """Return a word as part of the statement, not bound: only then a partial index with this condition is used."""
    return sa.literal_column(f"'{word}'", sa.String)


class _OfDatabase(NamedTuple):
    """A statement of one database, its parameters that are lists, and what it was compiled to for their lengths."""

    statement: Statement
    lists: list[str]
    compiled: dict[statements.Shape, Compiled]


class _Prepared:
    """A statement, and what it was compiled to for each database and each length of its lists."""

    def __init__(self, statement: Wanted) -> None:
        self._wanted = statement
        self._of_databases: dict[str, _OfDatabase] = {}
        if not callable(statement):
            self._check(statement)

    def _check(self, statement: Statement) -> None:
        """Raise `TypeError` where the statement is not of the kind that this class runs."""
        raise NotImplementedError

    def _on(self, dialect: Dialect) -> _OfDatabase:
        return self._of_databases.get(dialect.name) or self._prepare(dialect)

    def _prepare(self, dialect: Dialect) -> _OfDatabase:
        """Make and search the statement with its first run: most statements are never run by a process."""
        statement = self._wanted
        if callable(statement):
            statement = statement(dialect)
            self._check(statement)
        made = _OfDatabase(statement, _lists_of(statement), {})
        self._of_databases[dialect.name] = made
        return made

    def compiled(self, dialect: Dialect, values: Values) -> Compiled:
        """Return the compiled statement for these values."""
        statement, lists, compiled = self._on(dialect)
        shape = statements.lengths(values, lists) if lists else ()
        found = compiled.get(shape)
        if found is None:
            found = compiled[shape] = statements.compile_for(dialect, statement, shape)
        return found

    def compiled_parts(self, dialect: Dialect, values: Values) -> list[tuple[Compiled, Values]]:
        """Return the compiled statement for these values, in as many parts as their lists need."""
        statement, lists, _ = self._on(dialect)
        if not lists:
            return [(self.compiled(dialect, values), values)]
        parts = statements.slices(values, lists)
        if len(parts) > 1 and getattr(statement, "_limit_clause", None) is not None:
            raise TypeError("a statement with a LIMIT cannot be run in slices")
        return [(self.compiled(dialect, part), part) for part in parts]


class Query(_Prepared, Generic[R]):
    """A statement that gives rows: a SELECT, or a change with RETURNING.

    `row` is a `NamedTuple` or a dataclass with the statement's columns as fields, or the type of its only column.
    """

    _make: Callable[[Sequence[Any]], R]

    def __init__(self, row: type[R], statement: Wanted) -> None:
        self._row = row
        super().__init__(statement)

    def _check(self, statement: Statement) -> None:
        self._make = row_classes.maker(self._row, statements.columns_of(statement))

    def all(self, session: Session, **values: object) -> list[R]:
        """Return all rows."""
        return self.rows(connection_of(session), **values)

    def rows(self, connection: AnyConnection, **values: object) -> list[R]:
        """Return the same in a transaction without a session."""
        return [
            self._make(compiled.read(row))
            for compiled, part in self.compiled_parts(connection.dialect, values)
            for row in statements.execute(
                connection, compiled.text, compiled.bind(part), gives_rows=True
            )
        ]

    def find(self, session: Session, **values: object) -> R | None:
        """Return the first row, `None` where there is none."""
        found = self.all(session, **values)
        return found[0] if found else None

    def one(self, session: Session, **values: object) -> R:
        """Return the only row."""
        (found,) = self.all(session, **values)
        return found

    def read(self, database: Database, **values: object) -> R | None:
        """Return the first row as it is committed now, without a transaction, at a tenth of the cost of a session."""
        compiled = self.compiled(database.engine.dialect, values)
        found = database.reader.first(compiled.text, compiled.bind(values))
        return None if found is None else self._make(compiled.read(found))


class Change(_Prepared):
    """An UPDATE or a DELETE that gives no rows."""

    def _check(self, statement: Statement) -> None:
        if statements.columns_of(statement):
            raise TypeError("a change that gives rows is a Query")

    def run(self, session: Session, **values: object) -> None:
        """Run the statement once."""
        connection = connection_of(session)
        for compiled, part in self.compiled_parts(connection.dialect, values):
            statements.execute(connection, compiled.text, compiled.bind(part))

    def run_each(self, session: Session, values: Sequence[Values]) -> None:
        """Run the statement for each of these values, none of which is a list, with one call of the driver."""
        if not values:
            return
        connection = connection_of(session)
        compiled = self.compiled(connection.dialect, {})
        statements.execute(connection, compiled.text, [compiled.bind(each) for each in values])


class RowUpdate(Generic[R]):
    """Writes these columns of changed rows back, each to the row of the table that has its `id`."""

    def __init__(self, model: type[Table], row: type[R], *columns: str) -> None:
        table, targets = plain(model), columns_by_attribute(model)
        known = {field.name: field for field in row_classes.fields_of(row)}
        for name in columns:
            row_classes.check_column(row.__name__, known[name], targets[name], is_written=True)
        self._values = attrgetter("id", *columns)
        self._names = ("row_id", *[f"new_{name}" for name in columns])
        self._columns = [table.c.id, *[targets[name] for name in columns]]
        self._change = Change(
            sa.update(table)
            .where(table.c.id == sa.bindparam("row_id"))
            .values({targets[name]: sa.bindparam(f"new_{name}") for name in columns})
        )
        self._array_text = ""

    def in_arrays(self, dialect: Dialect, changed: Sequence[R]) -> tuple[str, list[Any]]:
        """Return a statement for PostgreSQL that writes any number of rows back, with its values."""
        self._array_text = self._array_text or self._in_arrays(dialect)
        values = arrays.by_column(self._columns, [self._values(row) for row in changed])
        return self._array_text, [*values, len(changed)]

    def _in_arrays(self, dialect: Dialect) -> str:
        table = self._columns[0].table
        given = arrays.unnested(self._columns, dialect)
        _, *changes = [
            f"{column.name} = given.{name}"
            for column, name in zip(self._columns, self._names, strict=True)
        ]
        # With a limit that it does not know PostgreSQL expects one row, and looks it up by its id. Without it, a plan
        # made in a new database reads the whole table until that is analysed.
        return (
            f"UPDATE {table.name} SET {', '.join(changes)}"
            f" FROM (SELECT * FROM {given} LIMIT %s::bigint) AS given({', '.join(self._names)})"
            f" WHERE {table.name}.id = given.row_id"
        )

    def all(self, session: Session, changed: Iterable[R]) -> None:
        """Write the rows back, one by one."""
        self._change.run_each(
            session,
            [dict(zip(self._names, self._values(row), strict=True)) for row in changed],
        )


def _lists_of(statement: Statement) -> list[str]:
    """Return the names of the parameters that are lists."""
    return sorted(
        {
            str(part.key)
            for part in visitors.iterate(statement)
            if isinstance(part, sa.BindParameter) and part.expanding and part.required
        }
    )
