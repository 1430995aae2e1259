"""Gathers the rows of a subquery into one value, so that they come along with the row that they belong to."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class JsonRows(FunctionElement[Any]):
    """These columns of all rows as a JSON list of lists, in the order of the rows; of no rows NULL or an empty list."""

    type = sa.JSON()
    inherit_cache = True


@compiles(JsonRows, "sqlite")
def _on_sqlite(element: JsonRows, compiler: Any, **options: Any) -> str:
    columns = [
        f"json({text})" if isinstance(column.type, sa.JSON) else text
        for column in element.clauses
        for text in [compiler.process(column, **options)]
    ]
    return f"json_group_array(json_array({', '.join(columns)}))"


@compiles(JsonRows, "postgresql")
def _on_postgresql(element: JsonRows, compiler: Any, **options: Any) -> str:
    return f"json_agg(json_build_array({compiler.process(element.clauses, **options)}))"
