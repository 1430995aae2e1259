"""Gives rows and lists to PostgreSQL as arrays, so that one statement holds any number of them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import InstrumentedAttribute

_TextColumn = InstrumentedAttribute[str] | InstrumentedAttribute[str | None]

# With a limit that it does not know PostgreSQL expects one value, and looks rows up by it. Without it, a plan made in a
# new database reads the whole table until that is analysed.
_NO_LIMIT = sa.select(sa.literal_column(str(2**31 - 1))).scalar_subquery()


class _Texts(sa.types.UserDefinedType[Sequence[str]]):
    """An array of texts."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the name of the type."""
        return "VARCHAR[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """Return what writes an array as PostgreSQL reads it."""
        return _array


def is_any_of(column: _TextColumn, name: str, dialect: Dialect) -> sa.ColumnElement[bool]:
    """Return the condition that the column, which has an index, has one of the values of the list with this name.

    On SQLite there is a statement for some lengths of the list, on PostgreSQL one for all.
    """
    if dialect.name != "postgresql":
        return column.in_(sa.bindparam(name, expanding=True))
    values = sa.func.unnest(sa.cast(sa.bindparam(name, type_=_Texts()), _Texts()))
    return is_any_found(column, sa.select(values), dialect)


def is_any_found(
    column: _TextColumn, found: sa.Select[Any], dialect: Dialect
) -> sa.ColumnElement[bool]:
    """Return the condition that the column, which has an index, has one of the few values that are found."""
    return column.in_(found.limit(_NO_LIMIT) if dialect.name == "postgresql" else found)


def unnested(columns: Sequence[sa.Column[Any]], dialect: Dialect) -> str:
    """Return what stands in a FROM for rows with these columns: `unnest(%s::VARCHAR[], …)`.

    Raises `TypeError` for a column whose values `by_column` cannot write.
    """
    for column in columns:
        is_known = isinstance(column.type, sa.Boolean | sa.JSON)
        if not is_known and column.type.dialect_impl(dialect).bind_processor(dialect):
            raise TypeError(f"{column} cannot stand in an array")
    types = [column.type.compile(dialect=dialect) for column in columns]
    return f"unnest({', '.join(f'%s::{name}[]' for name in types)})"


def by_column(columns: Sequence[sa.Column[Any]], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the array of each column of these rows, as PostgreSQL reads it."""
    return [
        _array(_plain(column, values))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]


def _plain(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return the values, those of JSON as their texts."""
    if not isinstance(column.type, sa.JSON):
        return values
    none = None if column.type.none_as_null else "null"
    return [none if value is None else json.dumps(value) for value in values]


def _array(values: Sequence[Any]) -> str:
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    text = value if isinstance(value, str) else str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
