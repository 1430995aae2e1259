"""Full exchanges: each POST brings 10 SMS and 20 updates, and takes 10 messages, with events and webhook rows."""

import http.client
import json
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from smsgw import clock
from smsgw import settings as settings_module
from smsgw.core.messages.drafts import Draft
from smsgw.core.messages.queueing import queue_all
from smsgw.store.db import Database
from smsgw.store.models import Crm, Dispatch, Message

from .. import people, places, rows
from ..scope import Scope, require
from ..table import Aim, Figure, compared, shown

AIM = Aim(0.15)
PHONES = 4
POSTS = 15
PER_POST = 10


class Phone:
    """A phone that sends all it gets at once, and tells two updates of each with its next POST."""

    def __init__(self, server: places.Server, login: tuple[str, str]) -> None:
        self.taken: list[str] = []
        self._authorization = people.basic(login)
        self._connection = http.client.HTTPConnection(places.HOST, server.port, timeout=60)
        self._fresh: list[str] = []

    def post(self, count: int) -> None:
        """That many POSTs, one after another."""
        for _ in range(count):
            body = json.dumps({"messages": _arrived(), "updates": self._updates()})
            self._connection.request(
                "POST", "/api/sms", body, {"Authorization": self._authorization}
            )
            answer = self._connection.getresponse()
            content = answer.read()
            require(answer.status == 200, f"an exchange was answered {answer.status} {content!r}")
            self._fresh = [item["id"] for item in json.loads(content)["messages"]]
            require(len(self._fresh) == PER_POST, f"{len(self._fresh)} messages were handed out")
            self.taken += self._fresh

    def _updates(self) -> list[dict[str, str]]:
        return [
            {"id": id_, "status": word} for id_ in self._fresh for word in ("SENT", "DELIVERED")
        ]

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()


def _arrived() -> list[dict[str, Any]]:
    now = int(time.time() * 1000)
    return [
        {
            "id": str(uuid.uuid4()),
            "from": "+447700900123",
            "content": f"Reply {number}: all is well here, thank you for asking",
            "sms_sent": now - 5000,
            "sms_received": now - 1000,
        }
        for number in range(PER_POST)
    ]


def measure(scope: Scope) -> list[Figure]:
    """POSTs a second against plain INSERTs of the same rows, and the messages a second that this makes."""
    return [figure for kind in ("sqlite", "postgresql") for figure in _measure(scope, kind)]


def _measure(scope: Scope, kind: str) -> list[Figure]:
    url = scope.new_database(kind, f"exchange_{kind}")
    taking_part = people.make(url, PHONES + 1)
    posts = 3 if scope.is_quick else POSTS
    _queue(url, taking_part, (scope.rounds + 1) * posts + 2)
    database = Database(url)
    with scope.web(url) as server:
        endpoint = {"url": "http://127.0.0.1:9/"}
        status, _ = server.request("POST", "/api/v1/webhooks", endpoint, taking_part.crm_header)
        require(status == 201, f"the webhook endpoint was answered {status}")
        *phones, model = [Phone(server, login) for login in taking_part.logins]
        pattern = _pattern(database, model)
        _together(phones, 1)
        _together(phones, posts)
        rounds = [_round(database, phones, pattern, posts) for _ in range(scope.rounds)]
        for phone in (*phones, model):
            phone.close()
    _check(database, phones)
    database.close()
    name = f"exchange 10+20+10, {kind}"
    per_second = [ours * 2 * PER_POST for ours, _ in rounds]
    return [
        compared(name, "POST/s", rounds, AIM),
        shown(f"{name}, messages", "/s", sorted(per_second)[len(per_second) // 2]),
    ]


def _pattern(database: Database, model: Phone) -> rows.Pattern:
    """What one full exchange writes, of a phone of its own: copies of its dispatches take up its places for good."""
    model.post(1)
    before = rows.keys(database)
    model.post(1)
    return rows.written_since(database, before)


def _round(
    database: Database, phones: Sequence[Phone], pattern: rows.Pattern, posts: int
) -> tuple[float, float]:
    count = posts * len(phones)
    seconds = _together(phones, posts)
    batches = [pattern.copy() for _ in range(count)]
    writers = 1 if database.is_sqlite else len(phones)
    return count / seconds, count / rows.insert(database, batches, writers)


def _together(phones: Sequence[Phone], posts: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(len(phones)) as pool:
        list(pool.map(lambda phone: phone.post(posts), phones))
    return time.perf_counter() - began


def _queue(url: str, taking_part: people.People, posts: int) -> None:
    settings = settings_module.load()
    database = Database(url)
    now = clock.now()
    for name, _ in taking_part.logins:
        drafts = [
            Draft(to="+447700900456", content=f"Reminder {number}: see you at ten", device_id=name)
            for number in range(posts * PER_POST)
        ]
        with database.transaction() as session:
            crm = session.get_one(Crm, taking_part.crm_id)
            queue_all(session, crm, settings, drafts, now)
    database.close()


def _check(database: Database, phones: Sequence[Phone]) -> None:
    """Each message was handed out once, and what was reported is delivered."""
    taken = [id_ for phone in phones for id_ in phone.taken]
    require(len(set(taken)) == len(taken), "a dispatch was handed out twice")
    with database.reading() as session:
        messages = session.scalars(
            sa.select(Dispatch.message_id).where(Dispatch.id.in_(taken))
        ).all()
        require(len(set(messages)) == len(taken), "a message was handed out twice")
        delivered = session.scalar(
            sa.select(sa.func.count()).where(
                Message.status == "delivered", Message.id.in_(messages)
            )
        )
    expected = len(taken) - len(phones) * PER_POST
    require(delivered == expected, f"{delivered} of {expected} messages are delivered")
