"""A database with 1,000,000 stored messages and 100,000 queued ones, against an empty one."""

import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from smsgw import clock
from smsgw.store.db import Database
from smsgw.store.models import HistoryEntry, Message
from smsgw.store.tables import plain

from .. import people, places, wrk
from ..places import Server
from ..scope import Scope, require
from ..table import Aim, Figure, compared
from . import enqueue
from .polls import IDLE_BODY

AIM = Aim(1.15, is_upper=True)
PHONES = 200
STORED, QUEUED = 1_000_000, 100_000
CHUNK = 10_000
EXPIRY_SECONDS = 300


def measure(scope: Scope) -> list[Figure]:
    """How much longer a poll and a message take with so many rows; both databases in a full run, SQLite else."""
    kinds = ("sqlite", "postgresql") if scope.is_full else ("sqlite",)
    share = 1 if scope.is_full else 0.001 if scope.is_quick else 0.2
    return [figure for kind in kinds for figure in _measure(scope, kind, share)]


def _measure(scope: Scope, kind: str, share: float) -> list[Figure]:
    empty_url = scope.new_database(kind, f"empty_{kind}")
    full_url = scope.new_database(kind, f"grown_{kind}")
    empty_people, full_people = people.make(empty_url, PHONES), people.make(full_url, PHONES)
    stored, queued = int(STORED * share), int(QUEUED * share)
    _fill(full_url, full_people, stored, queued)
    _end_expired(scope, full_url)
    with scope.web(empty_url) as empty, scope.web(full_url) as full:
        _check(full, full_people)
        ours = _loads(scope, f"grown_{kind}", full_people)
        theirs = _loads(scope, f"empty_{kind}", empty_people)
        pairs = {
            what: [_round(ours[what], full, theirs[what], empty) for _ in range(scope.wrk_rounds)]
            for what in ours
        }
    return [
        compared(f"{what}, {stored:,} stored + {queued:,} queued, {kind}", "ms each", rounds, AIM)
        for what, rounds in pairs.items()
    ]


def _loads(scope: Scope, name: str, taking_part: people.People) -> dict[str, wrk.Requests]:
    polls = [(people.basic(login), IDLE_BODY) for login in taking_part.logins]
    return {
        "poll": wrk.requests(scope.folder, f"poll_{name}", "POST", "/api/sms", polls),
        "enqueue": enqueue.one_by_one(scope, f"send_{name}", taking_part),
    }


def _round(
    ours: wrk.Requests, full: Server, theirs: wrk.Requests, empty: Server
) -> tuple[float, float]:
    """Milliseconds of the server for each request, full and empty."""
    reference = theirs.run(empty.url)
    load = ours.run(full.url)
    require(load.errors == 0, f"{load.errors} requests failed")
    return 1000 / load.per_second, 1000 / reference.per_second


def _check(server: Server, taking_part: people.People) -> None:
    """Nothing of what is queued is due for the phones that poll, and all is due for one that does not."""
    for login in taking_part.logins[:3]:
        answer = server.request("POST", "/api/sms", {}, {"Authorization": people.basic(login)})
        require(answer == (200, {"messages": []}), f"a poll that must be idle got {answer}")


def _fill(url: str, taking_part: people.People, stored: int, queued: int) -> None:
    database, now = Database(url), clock.now()
    for rows in _chunks(_stored(taking_part, now, stored)):
        with database.transaction() as session:
            session.execute(sa.insert(plain(Message)), rows)
            session.execute(sa.insert(plain(HistoryEntry)), [_history(row) for row in rows])
    for rows in _chunks(_queued(taking_part, now, queued)):
        with database.transaction() as session:
            session.execute(sa.insert(plain(Message)), rows)
            session.execute(sa.insert(plain(HistoryEntry)), [_history(row) for row in rows])
    with database.transaction() as session:
        session.execute(sa.text("ANALYZE"))
    database.close()


def _end_expired(scope: Scope, url: str) -> None:
    """Has a worker end what expired in the queue, as that of a running server does within seconds."""
    database = Database(url)
    expired = sa.exists().where(Message.status == "queued", Message.expires_at <= clock.now())
    deadline = time.monotonic() + EXPIRY_SECONDS
    with places.worker(scope.folder, url):
        while _is_there(database, expired):
            require(time.monotonic() < deadline, "the worker does not end what has expired")
            time.sleep(0.2)
    database.close()


def _is_there(database: Database, rows: sa.Exists) -> bool:
    with database.reading() as session:
        return bool(session.scalar(sa.select(rows)))


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _stored(taking_part: people.People, now: datetime, count: int) -> Iterator[dict[str, Any]]:
    """A year of delivered messages of all phones."""
    for number in range(count):
        device = taking_part.logins[number % PHONES][0]
        at = now - timedelta(days=365) * (1 - number / count)
        yield _row(taking_part, number, at) | {
            "status": "delivered",
            "device_id": device,
            "lane": f"d:{device}",
            "expires_at": at + timedelta(days=2),
        }


def _queued(taking_part: people.People, now: datetime, count: int) -> Iterator[dict[str, Any]]:
    """A third in the common lane at high priority for next week, a third expired in the phones' own lanes, and a
    third due for a phone that does not poll."""
    for number in range(count):
        device = taking_part.logins[number % PHONES][0]
        row = _row(taking_part, STORED + number, now) | {"status": "queued", "device_id": None}
        if number % 3 == 0:
            due = now + timedelta(days=7)
            late = due + timedelta(days=2)
            yield row | {
                "lane": f"c:{taking_part.crm_id}",
                "priority": 9,
                "send_at": due,
                "due_at": due,
                "expires_at": late,
            }
        elif number % 3 == 1:
            past = now - timedelta(hours=1)
            yield row | {"lane": f"d:{device}", "due_at": past, "expires_at": past}
        else:
            late = now + timedelta(days=2)
            yield row | {"lane": "d:silent", "due_at": now, "expires_at": late}


def _row(taking_part: people.People, number: int, at: datetime) -> dict[str, Any]:
    return {
        "id": f"msg_{int(at.timestamp() * 1000):012x}{number:08x}{uuid.uuid4().hex[:12]}",
        "direction": "outbound",
        "status": "delivered",
        "crm_id": taking_part.crm_id,
        "device_id": None,
        "lane": None,
        "to_number": f"+4477009{number % 100000:05}",
        "content": f"Reminder {number}: see you at ten tomorrow",
        "encoding": "GSM-7",
        "segments": 1,
        "request_hash": "0" * 64,
        "priority": 4,
        "send_at": None,
        "due_at": at,
        "expires_at": at,
        "created_at": at,
        "updated_at": at,
    }


def _history(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "message_id": row["id"],
        "dispatch_id": None,
        "device_id": row["device_id"],
        "status": row["status"],
        "reason": None,
        "reported": None,
        "at": row["created_at"],
    }
