"""Checks typed row classes against the columns of statements and tables, so that mypy can be believed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

# A statement with a single column needs no row class.
_SINGLE = (str, int, bool, float, datetime)


class Field(NamedTuple):
    """A field of a row class: the classes its values have, and whether `None` may stand there."""

    name: str
    classes: tuple[type, ...]
    is_nullable: bool


def fields_of(row: type) -> list[Field]:
    """Return the fields of a `NamedTuple` or dataclass, in order."""
    hints = get_type_hints(row)
    of_tuple: tuple[str, ...] = getattr(row, "_fields", ())
    names = [field.name for field in fields(row)] if is_dataclass(row) else of_tuple
    if not names:
        raise TypeError(f"{row.__name__} is neither a NamedTuple nor a dataclass")
    return [_field(name, hints[name]) for name in names]


def maker(row: type, columns: Sequence[sa.ColumnElement[Any]]) -> Callable[[Sequence[Any]], Any]:
    """Return a function that makes a row of these columns. Raises `TypeError` where the class does not fit."""
    if row in _SINGLE:
        if len(columns) != 1:
            raise TypeError(f"{row.__name__} is for one column, not for {len(columns)}")
        check_column(row.__name__, Field(str(columns[0].key), (row,), False), columns[0])
        return lambda values: values[0]
    wanted = fields_of(row)
    names = [field.name for field in wanted]
    found = [str(column.key) for column in columns]
    if names[: len(found)] != found or _needs_more(row, names[len(found) :]):
        raise TypeError(f"{row.__name__} has the fields {names}, the statement gives {found}")
    for field, column in zip(wanted, columns, strict=False):
        check_column(row.__name__, field, column)
    if is_dataclass(row) or len(names) > len(found):
        return lambda values: row(*values)
    make: Callable[[Sequence[Any]], Any] = row._make  # type: ignore[attr-defined]
    return make


def check_column(
    owner: str, field: Field, column: sa.ColumnElement[Any], *, is_written: bool = False
) -> None:
    """Raise `TypeError` where the column's values would not be what the field says, or the other way round."""
    plain = column.element if isinstance(column, sa.Label) else column
    if isinstance(plain, sa.Column) and plain.nullable != field.is_nullable:
        if plain.nullable and not is_written:
            raise TypeError(f"{owner}.{field.name} may be NULL, which its type leaves out")
        if field.is_nullable and is_written:
            raise TypeError(f"{owner}.{field.name} may be None, which its column does not take")
    kind = plain.type.impl_instance if isinstance(plain.type, TypeDecorator) else plain.type
    if isinstance(kind, sa.JSON | sa.types.NullType):
        return
    given = kind.python_type
    if not any(
        issubclass(one, given) and (one is bool) == (given is bool) for one in field.classes
    ):
        raise TypeError(f"{owner}.{field.name} is a {given.__name__} in the database")


def _needs_more(row: type, others: Sequence[str]) -> bool:
    """Return whether one of these fields has neither a column nor a default."""
    optional: Collection[str] = getattr(row, "_field_defaults", ())
    if is_dataclass(row):
        optional = [field.name for field in fields(row) if field.default is not MISSING]
    return not set(others) <= set(optional)


def _field(name: str, hint: Any) -> Field:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    classes = tuple(get_origin(one) or one for one in members if one is not NoneType)
    return Field(name, classes, NoneType in members)
