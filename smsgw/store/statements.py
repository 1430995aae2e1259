"""Compiles statements for a driver and runs them without SQLAlchemy, which costs several times the query each time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

Values = Mapping[str, object]
Convert = Callable[[Any], Any]
# The parameters that are lists: their names and lengths.
Shape = tuple[tuple[str, int], ...]
# The longest list of one statement: SQLite bounds the values of a statement to 32,766, PostgreSQL to 65,535, and a list
# is filled up to a power of two.
MOST_IN_LIST = 8192
# What SQLAlchemy makes: SELECTs, and INSERTs, UPDATEs and DELETEs.
Statement = sa.SelectBase | sa.UpdateBase


class DriverConnection(NamedTuple):
    """A connection as the driver gives it, in a transaction that SQLAlchemy knows nothing of."""

    connection: Any
    dialect: Dialect


AnyConnection = Connection | DriverConnection


@dataclass(frozen=True)
class Compiled:
    """A statement as a driver takes it, for lists of certain lengths.

    `places` are its parameters in order: a name, for lists with an index. `required` are those that have no value yet.
    `readers` turn some columns of what comes back into the types of their columns.
    """

    text: str
    places: Sequence[tuple[str, int | None]]
    defaults: Values
    required: frozenset[str]
    binders: Mapping[str, Convert]
    readers: Sequence[tuple[int, Convert]]

    def bind(self, values: Values) -> tuple[Any, ...]:
        """Return the values as the driver takes them. Raises `TypeError` where one is missing or not required."""
        if values.keys() != self.required:
            raise TypeError(f"given {sorted(values)}, required {sorted(self.required)}")
        bound = {**self.defaults, **values}
        for name, bind in self.binders.items():
            if name in values:
                bound[name] = bind(values[name])
        return self._in_order(bound)

    @cached_property
    def _in_order(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        names = [name for name, index in self.places if index is None]
        if len(names) == len(self.places) > 1:
            return itemgetter(*names)
        return lambda bound: tuple(
            [
                bound[name] if index is None else _at(bound[name], index)
                for name, index in self.places
            ]
        )

    def read(self, found: Sequence[Any]) -> Sequence[Any]:
        """Return a row of the driver with values of the columns' types."""
        if not self.readers:
            return found
        values = list(found)
        for place, read in self.readers:
            values[place] = read(values[place])
        return values


def compile_for(dialect: Dialect, statement: Statement, shape: Shape = ()) -> Compiled:
    """Return the statement for lists of these lengths."""
    compiled: Any = statement.compile(dialect=positional(dialect))
    lists = dict(shape)
    expanded = compiled.construct_expanded_state(
        {**compiled.params, **{name: [None] * length for name, length in shape}}
    )
    places = {
        inner: (name, index)
        for name, inners in expanded.parameter_expansion.items()
        for index, inner in enumerate(inners)
    }
    binders = {
        name: _of_list(bind) if name in lists else bind
        for name in compiled.params
        if (bind := compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
    }
    required = frozenset(name for name in compiled.params if compiled.binds[name].required)
    defaults = {name: value for name, value in compiled.params.items() if name not in required}
    return Compiled(
        expanded.statement,
        [places.get(name, (name, None)) for name in expanded.positiontup or ()],
        {name: binders[name](it) if name in binders else it for name, it in defaults.items()},
        required,
        binders,
        [
            (place, read)
            for place, column in enumerate(columns_of(statement))
            # Both drivers give floats; SQLAlchemy would first ask psycopg which kind of number it got.
            if not isinstance(column.type, sa.Float)
            if (read := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ],
    )


def positional(dialect: Dialect) -> Dialect:
    """Return the dialect, with positional parameters."""
    kind: Any = type(dialect)
    made: Dialect = kind(paramstyle="format" if dialect.name == "postgresql" else "qmark")
    return made


def columns_of(statement: Statement) -> list[sa.ColumnElement[Any]]:
    """Return the columns of the statement's rows; none where it returns no rows."""
    return list(getattr(statement, "exported_columns", ()))


def lengths(values: Values, names: Sequence[str]) -> Shape:
    """Return the shape of the lists with these names, with lengths up to a power of two, so that there are few."""
    return tuple([(name, _rounded(values.get(name))) for name in names])


def slices(values: Values, lists: Sequence[str]) -> list[Values]:
    """Return the values with each list cut into slices that fit into one statement, in all combinations."""
    long = [name for name in lists if len(_list(values, name)) > MOST_IN_LIST]
    if not long:
        return [values]
    cut = {name: _cut(_list(values, name)) for name in long}
    return [{**values, **dict(zip(cut, parts, strict=True))} for parts in product(*cut.values())]


def execute(
    connection: AnyConnection,
    text: str,
    values: tuple[Any, ...] | list[tuple[Any, ...]],
    *,
    gives_rows: bool = False,
) -> Sequence[Any]:
    """Have the driver run it, once or for each tuple of a list; errors are SQLAlchemy's.

    Returns its rows where it `gives_rows`, which psycopg would take longer to say than to fetch them.
    """
    cursor = connection.connection.cursor()
    try:
        if isinstance(values, tuple):
            cursor.execute(text, values)
        elif len(values) == 1:
            cursor.execute(text, values[0])
        else:
            cursor.executemany(text, values)
        found: Sequence[Any] = cursor.fetchall() if gives_rows else ()
    except driver_error(connection.dialect) as error:
        raise translated(error, text, connection.dialect) from error
    return found


@contextmanager
def translating(dialect: Dialect) -> Iterator[None]:
    """Raise errors of the driver, as those of a BEGIN or a COMMIT, as SQLAlchemy's."""
    try:
        yield
    except driver_error(dialect) as error:
        raise translated(error, "", dialect) from error


def driver_error(dialect: Dialect) -> type[Exception]:
    """Return the driver's error class."""
    loaded: Any = dialect.loaded_dbapi
    kind: type[Exception] = loaded.Error
    return kind


def translated(error: Exception, text: str, dialect: Dialect) -> BaseException:
    """Return an error of the driver as SQLAlchemy's, without the values."""
    return sa.exc.DBAPIError.instance(
        text, None, error, driver_error(dialect), hide_parameters=True, dialect=dialect
    )


def _at(values: Sequence[Any], index: int) -> Any:
    """Fill lists up with their last value: `IN` does not mind."""
    return values[index] if index < len(values) else values[-1]


def _list(values: Values, name: str) -> list[Any]:
    found = values.get(name)
    return found if isinstance(found, list) else []


def _cut(items: list[Any]) -> list[list[Any]]:
    return [items[start : start + MOST_IN_LIST] for start in range(0, len(items), MOST_IN_LIST)]


def _rounded(values: Any) -> int:
    return 1 << (len(values) - 1).bit_length() if values else 0


def _of_list(bind: Convert) -> Convert:
    return lambda values: [bind(value) for value in values]
