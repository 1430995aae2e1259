"""Inserts typed rows at the driver's cost: SQLAlchemy writes each statement once and is not asked again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import InstrumentedAttribute, Session

from . import arrays, row_classes, statements
from .on_conflict import insert_into
from .sessions import connection_of
from .statements import AnyConnection
from .tables import Table, columns_by_attribute, plain

# SQLite bounds the values of one statement to 32,766.
_MOST_VALUES = 30_000

R = TypeVar("R")
K = TypeVar("K")
Values = tuple[Any, ...]


@dataclass(frozen=True)
class _InsertText:
    """An INSERT as SQLite's driver takes it, and what turns the values of a row into the driver's."""

    start: str
    group: str
    end: str
    width: int
    convert: Callable[[Values], Values]

    @property
    def single(self) -> str:
        """Return the text for one row, or for many given one after the other."""
        return self.start + self.group + self.end

    def grouped(self, rows: Sequence[Values]) -> Iterator[tuple[str, Values]]:
        """Yield as few statements as hold all rows, with their values."""
        most = _MOST_VALUES // self.width
        for first in range(0, len(rows), most):
            some = rows[first : first + most]
            yield self._of(len(some)), tuple([value for row in some for value in self.convert(row)])

    def _of(self, size: int) -> str:
        return self.start + ", ".join([self.group] * size) + self.end


@dataclass(frozen=True)
class RowBatch:
    """Rows for one table."""

    insert: "Insert[Any]"
    rows: Sequence[Any]


class _IntoTable(Generic[R]):
    """An INSERT of rows of a class into a table: of all its fields, or only of those that are named.

    The fields are checked against the table when it is made. Columns that are left out get their default.
    """

    def __init__(self, table: type[Table] | sa.Table, row: type[R], *only: str) -> None:
        columns = columns_by_attribute(table)
        fields = {field.name: field for field in row_classes.fields_of(row)}
        names = list(only or fields)
        for name in names:
            row_classes.check_column(row.__name__, fields[name], columns[name], is_written=True)
        self._table = table if isinstance(table, sa.Table) else plain(table)
        self._columns = [columns.pop(name) for name in names]
        self._defaults = {
            column: _default(column) for column in columns.values() if _is_wanted(column)
        }
        is_whole = not only and not is_dataclass(row)
        self._values: Callable[[Any], Values] = tuple if is_whole else _values_of(names)
        self._text: _InsertText | None = None
        self._array_text = ""

    def in_arrays(self, dialect: Dialect, rows: Iterable[R]) -> tuple[str, list[Any]]:
        """Return a statement for PostgreSQL that inserts any number of rows in their order, with its values."""
        self._array_text = self._array_text or self._write_with_arrays(dialect)
        return self._array_text, [
            *self._defaults.values(),
            *arrays.by_column(self._columns, [self._values(row) for row in rows]),
        ]

    def _statements(self, dialect: Dialect, rows: Iterable[R]) -> Iterator[tuple[str, Values]]:
        """Yield as few statements as hold all rows, with their values."""
        if dialect.name == "postgresql":
            text, values = self.in_arrays(dialect, rows)
            yield text, tuple(values)
        else:
            yield from self._compiled(dialect).grouped([self._values(row) for row in rows])

    def _statement(self, _dialect: Dialect) -> sa.Insert:
        return sa.insert(self._table)

    def _write_with_arrays(self, dialect: Dialect) -> str:
        names = [column.name for column in [*self._defaults, *self._columns]]
        defaults = "".join(
            f"%s::{column.type.compile(dialect=dialect)}, " for column in self._defaults
        )
        given = arrays.unnested(self._columns, dialect)
        end = self._compile(dialect).end
        return (
            f"INSERT INTO {self._table.name} ({', '.join(names)})"
            f" SELECT {defaults}given.* FROM {given} AS given{end}"
        )

    def _compiled(self, dialect: Dialect) -> _InsertText:
        if self._text is None:
            self._text = self._compile(dialect)
        return self._text

    def _compile(self, dialect: Dialect) -> _InsertText:
        columns = [*self._columns, *self._defaults]
        compiled = self._statement(dialect).compile(
            dialect=statements.positional(dialect), column_keys=[column.name for column in columns]
        )
        start, values, rest = str(compiled).partition(" VALUES ")
        group, _, end = rest.partition(")")
        by_name = {column.name: place for place, column in enumerate(columns)}
        order = [by_name[name] for name in compiled.positiontup or ()]
        return _InsertText(
            start + values,
            f"{group})",
            end,
            len(order),
            _converter(dialect, columns, order, tuple(self._defaults.values())),
        )


class Insert(_IntoTable[R]):
    """Inserts rows of a class into a table: all its fields, or only those that are named."""

    def all(self, session: Session, rows: Sequence[R]) -> None:
        """Insert the rows in their order."""
        if not rows:
            return
        connection = connection_of(session)
        if connection.dialect.name == "postgresql":
            self.grouped(connection, rows)
        else:
            text = self._compiled(connection.dialect)
            values = [text.convert(self._values(row)) for row in rows]
            statements.execute(connection, text.single, values)

    def batch(self, rows: Sequence[R]) -> RowBatch:
        """Return the rows as a batch, to be inserted later together with others."""
        return RowBatch(self, rows)

    def grouped(self, connection: AnyConnection, rows: Sequence[R]) -> None:
        """Insert them with as few statements as hold them all."""
        for text, values in self._statements(connection.dialect, rows):
            statements.execute(connection, text, values)


class InsertNew(_IntoTable[R], Generic[R, K]):
    """Inserts the rows that are new by the unique columns `conflict_on`, and leaves the others out.

    On PostgreSQL it waits for a transaction that is inserting the same row, and then leaves ours out or, when that one
    rolled back, puts it in.
    """

    def __init__(
        self,
        table: type[Table] | sa.Table,
        row: type[R],
        *only: str,
        conflict_on: Sequence[InstrumentedAttribute[Any]],
        returning: InstrumentedAttribute[K],
    ) -> None:
        super().__init__(table, row, *only)
        self._conflict_on = [attribute.key for attribute in conflict_on]
        self._returning = returning

    def new(self, session: Session, rows: Iterable[R]) -> list[K]:
        """Return the `returning` column of the rows that went in."""
        some = list(rows)
        if not some:
            return []
        connection = connection_of(session)
        return [
            value
            for text, values in self._statements(connection.dialect, some)
            for (value,) in statements.execute(connection, text, values, gives_rows=True)
        ]

    def _statement(self, dialect: Dialect) -> sa.Insert:
        insert = insert_into(self._table, dialect)
        made: sa.Insert = insert.on_conflict_do_nothing(index_elements=self._conflict_on).returning(
            self._returning
        )
        return made


def _values_of(names: Sequence[str]) -> Callable[[Any], Values]:
    if len(names) == 1:
        (name,) = names
        return lambda row: (getattr(row, name),)
    return attrgetter(*names)


def _converter(
    dialect: Dialect, columns: Sequence[sa.Column[Any]], order: Sequence[int], defaults: Values
) -> Callable[[Values], Values]:
    binders = [
        (place, bind)
        for place, column in enumerate(columns)
        if (bind := column.type.dialect_impl(dialect).bind_processor(dialect))
    ]
    is_ordered = list(order) == list(range(len(columns)))
    in_order = tuple if is_ordered else itemgetter(*order)

    def convert(values: Values) -> Values:
        bound = [*values, *defaults]
        for place, bind in binders:
            bound[place] = bind(bound[place])
        found: Values = in_order(bound)
        return found

    return convert


def _is_wanted(column: sa.Column[Any]) -> bool:
    """Return whether this column needs a value that neither a row nor a default of the database gives."""
    is_given = column.nullable or column.server_default is not None
    return column.default is not None or not (is_given or _is_counted(column))


def _is_counted(column: sa.Column[Any]) -> bool:
    return column is column.table.autoincrement_column


def _default(column: sa.Column[Any]) -> Any:
    if not isinstance(column.default, sa.ColumnDefault) or not column.default.is_scalar:
        raise TypeError(f"{column} has neither a value nor a constant default")
    return column.default.arg
