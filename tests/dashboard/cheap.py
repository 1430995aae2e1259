"""Checks what a page costs: the number of its statements, and that none of them scans a table that grows."""

import re
from typing import Any

from smsgw.core.accounts import crms, operators
from smsgw.core.accounts.roles import CLERK

from ..conftest import NOW
from ..noting import noted
from .conftest import Office

MOST_STATEMENTS = 14
GROWING = "messages|dispatches|history|events|deliveries|attempts|inbox|audit_entries|last_devices|opt_outs|read_marks"
# Indexes of what waits, is on a phone or is stuck alone.
BOUNDED = "ix_messages_queue_|ix_messages_stuck|ix_dispatches_active"
_WHOLE_TABLE = re.compile(rf"Seq Scan on ({GROWING})\b")
# From the newest on, as lists go: the other way it stands for a scan of the few rows here. The audit grows by what
# people do, and is searched in its order.
_FROM_THE_NEWEST = re.compile(
    rf"Index (Only )?Scan Backward using (?!{BOUNDED}).* on (?!audit_entries)({GROWING})\b"
)
# SQLite walks along the table's or an index's order, which is fine where only the first rows are asked for.
_IN_ORDER = re.compile(rf"SCAN ({GROWING})\b(?!.* INDEX ({BOUNDED}))")
_SORTS = "TEMP B-TREE FOR ORDER BY"


def check_cheap(
    office: Office, path: str, role: str = "operator", most: int = MOST_STATEMENTS
) -> Any:
    """Get the page and return it; fails where it needs too many statements, or one that scans a growing table.

    The same for a clerk of many CRMs, where a clerk may see the page.
    """
    clerk = _clerk_of_many(office)
    if office.browser(clerk).get(path).status_code == 200:
        _check(office, path, clerk, most)
    return _check(office, path, role, most)


def _clerk_of_many(office: Office) -> str:
    name, world = "clerk of many", office.world
    if name not in office.keys:
        for number in range(12):
            world.add_crm(f"branch-{number}")
        with world.database.transaction() as session:
            its_crms = [crm.name for crm in crms.everyone(session)]
            office.keys[name] = operators.add(session, name, NOW, CLERK, its_crms)
    return name


def _check(office: Office, path: str, role: str, most: int) -> Any:
    browser, database = office.browser(role), office.world.database
    # What is read once per process is no matter.
    browser.get(path).get_data()
    with noted(database) as seen:
        page = browser.get(path)
        # A download asks while it is read.
        page.get_data()
    assert page.status_code in (200, 204), page.text
    assert len(seen) <= most, "\n".join(text for text, _ in seen)
    faults = [fault for text, values in seen for fault in _faults(office, text, values)]
    assert not faults, "\n".join(faults)
    return page


def _faults(office: Office, text: str, values: Any) -> list[str]:
    if not re.match(r"\s*(SELECT|WITH)\b", text):
        return []
    is_sqlite = office.world.database.is_sqlite
    with office.world.database.transaction() as session:
        connection = session.connection()
        if not is_sqlite:
            # With a few rows PostgreSQL scans where it has a choice: without one, it scans all the same.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
        plan = [str(row) for row in connection.exec_driver_sql(explain + text, values)]
    walks = [] if is_sqlite else _filtered_walks(plan)
    # In no order, one goes on until something fits.
    is_in_order = "ORDER BY" in text and "LIMIT" in text
    is_first_rows = is_in_order and not any(_SORTS in line for line in plan)
    return walks + [
        f"{line}\n    {text}"
        for line in plan
        if _WHOLE_TABLE.search(line) or (_IN_ORDER.search(line) and not is_first_rows)
    ]


def _filtered_walks(plan: list[str]) -> list[str]:
    """Return the steps that go down a whole index of a growing table and leave out rows on the way."""
    steps = re.split(r"\n(?=.*->)", "\n".join(plan))
    return [
        step
        for step in steps
        if _FROM_THE_NEWEST.search(step) and "Filter:" in step and "Index Cond:" not in step
    ]
