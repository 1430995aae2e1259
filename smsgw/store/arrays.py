"""Gives rows to PostgreSQL as an array for each column, so that one statement holds any number of them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


def unnested(columns: Sequence[sa.Column[Any]], dialect: Dialect) -> str:
    """Return what stands in a FROM for rows with these columns: `unnest(%s::VARCHAR[], …)`.

    Raises `TypeError` for a column whose values the driver does not take as they are.
    """
    for column in columns:
        if column.type.dialect_impl(dialect).bind_processor(dialect):
            raise TypeError(f"{column} cannot stand in an array")
    types = [column.type.compile(dialect=dialect) for column in columns]
    return f"unnest({', '.join(f'%s::{name}[]' for name in types)})"


def by_column(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the array of each column of these rows, as PostgreSQL reads it."""
    return [f"{{{','.join(map(_element, values))}}}" for values in zip(*rows, strict=True)]


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    text = value if isinstance(value, str) else str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
