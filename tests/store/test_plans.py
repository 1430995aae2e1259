"""How PostgreSQL plans our statements in a new database, of whose tables it knows nothing until it analyses them."""

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from typing import Any

import pytest

import smsgw
from smsgw.store import migrations
from smsgw.store.db import Database
from smsgw.store.queries import Change, Query

# Of the lists that statements are given.
LENGTHS = (2, 64)
GROWING = ("messages", "dispatches", "history", "events", "deliveries", "attempts")
# Run by `read` alone, whose connections read nothing from end to end (`store/reader`).
READ_ALONE = {"core.messages.unconfirmed._OVERDUE"}


def statements() -> Iterator[tuple[str, Query[Any] | Change]]:
    """Each statement that is made once, with its module and name."""
    for module in pkgutil.walk_packages(smsgw.core.__path__, "smsgw.core."):
        for name, value in vars(importlib.import_module(module.name)).items():
            several = value.values() if isinstance(value, dict) else [value]
            for one in several:
                if isinstance(one, Query | Change):
                    yield f"{module.name.removeprefix('smsgw.')}.{name}", one


def plan(connection: Any, text: str) -> str:
    """The plan for any values, as for a statement that was prepared."""
    first, *others = text.split("%s")
    numbered = first + "".join(f"${place}{part}" for place, part in enumerate(others, 1))
    connection.exec_driver_sql(f"PREPARE one AS {numbered.replace('%%', '%')}")
    values = f"({', '.join(['NULL'] * len(others))})" if others else ""
    lines = connection.exec_driver_sql(f"EXPLAIN EXECUTE one{values}").scalars().all()
    connection.exec_driver_sql("DEALLOCATE one")
    return "\n".join(lines)


def test_no_statement_reads_a_growing_table_from_end_to_end(new_postgresql_url: str):
    found, wrong = 0, {}
    with closing(Database(new_postgresql_url)) as database:
        migrations.upgrade(database)
        dialect = database.engine.dialect
        with database.engine.connect() as connection:
            for length, (name, statement) in product(LENGTHS, statements()):
                lists = {key: ["a"] * length for key in statement._on(dialect).lists}
                planned = plan(connection, statement.compiled(dialect, lists).text)
                found += 1
                scans = [table for table in GROWING if f"Seq Scan on {table}" in planned]
                if scans and name not in READ_ALONE:
                    wrong[name] = planned
    assert found > 80 * len(LENGTHS)
    if wrong:
        pytest.fail("\n\n".join(f"{name}\n{planned}" for name, planned in wrong.items()))
