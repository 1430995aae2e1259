"""Gives rows to PostgreSQL as an array for each column, so that one statement holds any number of them."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


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
        f"{{{','.join(map(_element, _plain(column, values)))}}}"
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]


def _plain(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return the values, those of JSON as their texts."""
    if not isinstance(column.type, sa.JSON):
        return values
    none = None if column.type.none_as_null else "null"
    return [none if value is None else json.dumps(value) for value in values]


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    text = value if isinstance(value, str) else str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
