"""Hashes phone numbers, in Python and in both databases alike, where they are counted but must not be kept."""

import hashlib
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_LENGTH = 16


class NumberHash(FunctionElement[str]):
    """`number_hash` of a column, as an expression of a statement."""

    type = sa.String()
    inherit_cache = True


def number_hash(number: str) -> str:
    """Return the first 64 bits of the number's SHA-256, in hex."""
    return hashlib.sha256(number.encode()).hexdigest()[:_LENGTH]


@compiles(NumberHash, "sqlite")
def _on_sqlite(element: NumberHash, compiler: Any, **options: Any) -> str:
    """Call the function that each connection is given."""
    return f"number_hash({compiler.process(element.clauses, **options)})"


@compiles(NumberHash, "postgresql")
def _on_postgresql(element: NumberHash, compiler: Any, **options: Any) -> str:
    number = compiler.process(element.clauses, **options)
    return f"substr(encode(sha256(convert_to({number}, 'UTF8')), 'hex'), 1, {_LENGTH})"
