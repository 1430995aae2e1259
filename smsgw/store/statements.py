"""Statements: constants of their modules, compiled once and run at the driver's cost.

SQLAlchemy writes them, says how values go in and come out, and is not asked again: at each execution it would cost
several times the query, and a poll has ten.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

Values = Mapping[str, Any]
Rows = list[Any]
Convert = Callable[[Any], Any]
# The lists among the values: their names and lengths.
Shape = tuple[tuple[str, int], ...]
# The longest list of one statement: SQLite bounds the values of a statement to 32,766, PostgreSQL to 65,535, and a list
# is filled up to a power of two.
MOST_IN_LIST = 8192
# What SQLAlchemy makes: SELECTs, and INSERTs, UPDATEs and DELETEs.
Constant = sa.SelectBase | sa.UpdateBase


@dataclass(frozen=True)
class Spelling:
    """A statement as a driver takes it, for lists of certain lengths.

    `places` are its values in order: a name, for lists with a number. `row` makes a row of what comes back, after
    `readers` have read some of its columns.
    """

    text: str
    places: Sequence[tuple[str, int | None]]
    given: Values
    binders: Mapping[str, Convert]
    row: Convert
    readers: Sequence[tuple[int, Convert]]
    gives_rows: bool

    def bind(self, values: Values) -> tuple[Any, ...]:
        """The values as the driver takes them."""
        bound = {**self.given, **values}
        for name, bind in self.binders.items():
            if name in values:
                bound[name] = bind(values[name])
        return self._in_order(bound)

    @cached_property
    def _in_order(self) -> Callable[[Values], tuple[Any, ...]]:
        names = [name for name, at in self.places if at is None]
        if len(names) == len(self.places) > 1:
            return itemgetter(*names)
        return lambda bound: tuple(
            [bound[name] if at is None else _at(bound[name], at) for name, at in self.places]
        )

    def read(self, found: Sequence[Any]) -> Any:
        """A row of the driver's with the columns' names, and values of their types."""
        if self.readers:
            values = list(found)
            for place, read in self.readers:
                values[place] = read(values[place])
            found = values
        return self.row(found)


def run(connection: Connection, statement: Constant, values: Values) -> Rows:
    """Runs a constant statement; returns its rows, with their columns as attributes.

    Longer lists than one statement can hold are run in slices, the rows of one slice after those of another.
    """
    if not _is_long(values):
        return _run(connection, statement, values)
    if getattr(statement, "_limit_clause", None) is not None:
        raise TypeError("a statement with a LIMIT cannot be run in slices")
    return [row for part in _slices(values) for row in _run(connection, statement, part)]


def _is_long(values: Values) -> bool:
    return any(isinstance(value, list) and len(value) > MOST_IN_LIST for value in values.values())


def _slices(values: Values) -> Iterator[Values]:
    """The values with each long list cut into slices, in all combinations."""
    slices = {
        name: [value[start : start + MOST_IN_LIST] for start in range(0, len(value), MOST_IN_LIST)]
        for name, value in values.items()
        if isinstance(value, list) and value
    }
    for parts in product(*slices.values()):
        yield {**values, **dict(zip(slices, parts, strict=True))}


def _run(connection: Connection, statement: Constant, values: Values) -> Rows:
    spelling = spell(connection.dialect, statement, _shape(values))
    bound = spelling.bind(values)
    found = call(connection, spelling.text, bound, gives_rows=spelling.gives_rows)
    return [spelling.read(row) for row in found]


def run_many(connection: Connection, statement: sa.UpdateBase, rows: Sequence[Values]) -> None:
    """Runs a constant statement for each of these values, none of which is a list, at one go."""
    spelling = spell(connection.dialect, statement)
    call(connection, spelling.text, [spelling.bind(values) for values in rows])


def call(
    connection: Connection,
    text: str,
    values: tuple[Any, ...] | list[tuple[Any, ...]],
    *,
    gives_rows: bool = False,
) -> Sequence[Any]:
    """Has the driver run it, once or for each tuple of a list; errors are SQLAlchemy's.

    Returns its rows where it `gives_rows`, which psycopg would take longer to say than to fetch them.
    """
    dialect: Any = connection.dialect
    cursor = connection.connection.cursor()
    try:
        if isinstance(values, tuple):
            cursor.execute(text, values)
        elif len(values) == 1:
            cursor.execute(text, values[0])
        else:
            cursor.executemany(text, values)
        found: Sequence[Any] = cursor.fetchall() if gives_rows else ()
    except dialect.loaded_dbapi.Error as error:
        raise sa.exc.DBAPIError.instance(
            text, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect
        ) from error
    return found


def _at(values: Sequence[Any], place: int) -> Any:
    """Lists are filled up with their last value, so that there are few lengths: `IN` does not mind."""
    return values[place] if place < len(values) else values[-1]


def _shape(values: Values) -> Shape:
    """The shape of these values, with lengths up to a power of two."""
    return tuple(
        [
            (name, 1 << (len(value) - 1).bit_length() if value else 0)
            for name, value in values.items()
            if isinstance(value, list)
        ]
    )


@lru_cache(maxsize=1024)
def spell(
    dialect: Dialect, statement: Constant, shape: Shape = (), style: str | None = None
) -> Spelling:
    """The statement for lists of these lengths; `style` is how it names its values, by itself as the driver wants."""
    kind: Any = type(dialect)
    style = style or ("format" if dialect.name == "postgresql" else "qmark")
    compiled: Any = statement.compile(dialect=kind(paramstyle=style))
    lists = dict(shape)
    expanded = compiled.construct_expanded_state(
        {**compiled.params, **{name: [None] * length for name, length in shape}}
    )
    places = {
        inner: (name, at)
        for name, inners in expanded.parameter_expansion.items()
        for at, inner in enumerate(inners)
    }
    binders = {
        name: _of_list(bind) if name in lists else bind
        for name in compiled.params
        if (bind := compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
    }
    given = {
        name: value for name, value in compiled.params.items() if not compiled.binds[name].required
    }
    columns = list(getattr(statement, "exported_columns", ()))
    return Spelling(
        expanded.statement,
        [places.get(name, (name, None)) for name in expanded.positiontup or ()],
        {name: binders[name](value) if name in binders else value for name, value in given.items()},
        binders,
        _row_of([str(column.key) for column in columns]),
        [
            (place, read)
            for place, column in enumerate(columns)
            if (read := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ],
        gives_rows=bool(columns),
    )


def _of_list(bind: Convert) -> Convert:
    return lambda values: [bind(value) for value in values]


def _row_of(names: list[str]) -> Convert:
    made: Any = namedtuple("Found", names, rename=True)  # type: ignore[misc]
    return made._make
