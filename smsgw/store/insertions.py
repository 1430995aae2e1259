"""Insertions: rows put in at the driver's cost; SQLAlchemy writes each statement once and is not asked again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

# Both databases bound the values of one statement: SQLite to 32,766, PostgreSQL to 65,535.
_MOST_VALUES = 30_000

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Insertion:
    """One table's INSERT for rows with certain keys: its text, and what turns a row into the driver's values."""

    start: str
    group: str
    end: str
    defaults: Mapping[str, Any]
    names: Sequence[str]
    binders: Sequence[tuple[int, Callable[[Any], Any]]]

    @property
    def text(self) -> str:
        """For one row, or for many given one after the other."""
        return self.start + self.group + self.end

    def values(self, row: Mapping[str, Any]) -> Values:
        """What the driver takes for this row."""
        if self.defaults:
            row = {**self.defaults, **row}
        values = [row[name] for name in self.names]
        for place, bind in self.binders:
            values[place] = bind(values[place])
        return tuple(values)

    def at_once(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Values]]:
        """As few statements as hold all rows, with their values: for statements that return something."""
        most = _MOST_VALUES // len(self.names)
        for first in range(0, len(rows), most):
            some = rows[first : first + most]
            text = self.start + ", ".join([self.group] * len(some)) + self.end
            yield text, tuple(value for row in some for value in self.values(row))


@lru_cache(maxsize=256)
def plain(dialect: Dialect, table: sa.Table, keys: tuple[str, ...]) -> Insertion:
    """For rows that must all go in."""
    return _insertion(dialect, sa.insert(table), table, keys)


@lru_cache(maxsize=256)
def of_new(
    dialect: Dialect,
    table: sa.Table,
    keys: tuple[str, ...],
    returning: str,
    conflict_on: tuple[str, ...],
) -> Insertion:
    """For rows of which those go in that are new by the columns `conflict_on`; gives back one column of them."""
    kind = postgresql if dialect.name == "postgresql" else sqlite
    statement = (
        kind.insert(table)
        .on_conflict_do_nothing(index_elements=list(conflict_on))
        .returning(table.c[returning])
    )
    return _insertion(dialect, statement, table, keys)


def _insertion(
    dialect: Dialect, statement: sa.Insert, table: sa.Table, keys: tuple[str, ...]
) -> Insertion:
    spelling: Any = type(dialect)
    style = "format" if dialect.name == "postgresql" else "qmark"
    compiled = statement.compile(dialect=spelling(paramstyle=style), column_keys=list(keys))
    start, values, rest = str(compiled).partition(" VALUES ")
    group, _, end = rest.partition(")")
    names = compiled.positiontup or []
    return Insertion(
        start + values,
        f"{group})",
        end,
        {name: _default(table.c[name]) for name in names if name not in keys},
        names,
        [
            (place, bind)
            for place, name in enumerate(names)
            if (bind := table.c[name].type.dialect_impl(dialect).bind_processor(dialect))
        ],
    )


def _default(column: sa.Column[Any]) -> Any:
    if not isinstance(column.default, sa.ColumnDefault) or not column.default.is_scalar:
        raise TypeError(f"{column} has a default that only SQLAlchemy could work out")
    return column.default.arg
