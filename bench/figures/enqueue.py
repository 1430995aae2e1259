"""What CRMs send: one message per request, and a thousand."""

import time
from statistics import median
from typing import Any

import sqlalchemy as sa

from smsgw.store.db import Database
from smsgw.store.models import Message

from .. import people, places, rows, wrk
from ..scope import Scope, require
from ..table import Aim, Figure, compared, shown

ONE_AIM = Aim(0.45)
WAIT_AIM = Aim(20, is_upper=True, unit="ms")
BATCH_AIM = Aim(0.25)
BATCH = 1000
BATCHES = 4
DRAFT = '{"to": "+4477009%05d", "content": "Reminder %d: see you at ten tomorrow, {unique}"}'


def measure(scope: Scope) -> list[Figure]:
    """Messages a second: one by one against the bare route, in batches against plain INSERTs."""
    return [figure for kind in scope.kinds for figure in _measure(scope, kind)]


def one_by_one(scope: Scope, name: str, taking_part: people.People) -> wrk.Requests:
    """Requests of one message each, no text twice for a number."""
    pairs = [(taking_part.crm_header["Authorization"], DRAFT % (n, n)) for n in range(200)]
    return wrk.requests(scope.folder, name, "POST", "/api/v1/messages", pairs)


def _measure(scope: Scope, kind: str) -> list[Figure]:
    url = scope.new_database(kind, f"enqueue_{kind}")
    taking_part = people.make(url, 1)
    load = one_by_one(scope, f"enqueue_{kind}", taking_part)
    database = Database(url)
    with scope.web(url) as server:
        pattern = _pattern(database, server, taking_part)
        batches = [
            _batch_round(database, server, taking_part, pattern) for _ in range(scope.rounds)
        ]
        with scope.bare() as bare:
            load.run(server.url)
            singles = [_single_round(load, server, bare) for _ in range(scope.wrk_rounds)]
    speeds = [(ours.per_second, theirs.per_second) for ours, theirs in singles]
    waits = median(ours.p99_ms for ours, _ in singles)
    _check(database, scope.rounds * BATCHES * BATCH)
    database.close()
    return [
        compared(f"enqueue one by one, {kind}", "SMS/s", speeds, ONE_AIM),
        shown(f"enqueue one by one, {kind}, p99", "ms", waits, WAIT_AIM),
        compared(f"enqueue by 1,000, {kind}", "SMS/s", batches, BATCH_AIM),
    ]


def _single_round(
    load: wrk.Requests, server: places.Server, bare: places.Server
) -> tuple[wrk.Load, wrk.Load]:
    reference = load.run(bare.url)
    ours = load.run(server.url)
    require(ours.errors == 0, f"{ours.errors} of {ours.requests} messages were not taken")
    return ours, reference


def _pattern(database: Database, server: places.Server, taking_part: people.People) -> rows.Pattern:
    before = rows.keys(database)
    _post(server, taking_part)
    return rows.written_since(database, before)


def _batch_round(
    database: Database, server: places.Server, taking_part: people.People, pattern: rows.Pattern
) -> tuple[float, float]:
    began = time.perf_counter()
    for _ in range(BATCHES):
        _post(server, taking_part)
    ours = time.perf_counter() - began
    reference = rows.insert(database, [pattern.copy() for _ in range(BATCHES)], 1)
    return BATCHES * BATCH / ours, BATCHES * BATCH / reference


def _post(server: places.Server, taking_part: people.People) -> None:
    # The same text to the same number again and again would be refused.
    post = time.time_ns()
    drafts: list[dict[str, Any]] = [
        {"to": f"+4477009{n:05}", "content": f"Reminder {n}: see you at ten tomorrow, {post}"}
        for n in range(BATCH)
    ]
    status, answer = server.request(
        "POST", "/api/v1/messages/batch", {"messages": drafts}, taking_part.crm_header
    )
    require(status == 202, f"a batch was answered {status} {answer}")
    taken = [message["content"] for message in answer["data"]]
    require(taken == [draft["content"] for draft in drafts], "a batch came back changed")


def _check(database: Database, expected: int) -> None:
    with database.reading() as session:
        count = session.scalar(sa.select(sa.func.count()).where(Message.status == "queued")) or 0
    require(count >= expected, f"{count} messages are queued, at least {expected} were sent")
