"""What must hold whatever is sent: no 5xx, no traceback, errors in each protocol's own form, and bounded memory."""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from smsgw.core.accounts import enrolment, operators
from smsgw.core.devices import protocols
from smsgw.http.context import EXTENSION
from smsgw.store.models import Message

from ..cli.conftest import run
from ..conftest import NOW, World
from .mutations import IS_LONG, SEED

__all__ = ["run", "target"]

SUCCESS_FALSE = ("/api/v1/gateway", "/api/v1/sms")
MOST_GROWTH = 150 * 2**20


@dataclass
class Target:
    """An app to send anything to, with the headers of everybody who may call it."""

    world: World
    log: pytest.LogCaptureFixture
    operator: dict[str, str]
    app_key: str
    sock_key: str
    numbers: Iterator[int]

    @property
    def app(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.app_key}"}

    def send(self, method: str, path: str, data: bytes, headers: dict[str, str]) -> Any:
        """One request, whose answer is checked."""
        number = next(self.numbers)
        answer = self.world.client.open(
            path,
            method=method,
            data=data,
            headers={name: value.replace("\r\n", "") for name, value in headers.items()},
            environ_overrides={"REMOTE_ADDR": f"10.0.{number >> 8 & 255}.{number & 255}"},
        )
        self.check(path.partition("?")[0], answer)
        return answer

    def check(self, path: str, answer: Any) -> None:
        is_named = (path, answer.status_code) == ("/readyz", 503)
        assert answer.status_code < 500 or is_named, answer.text
        self.check_log()
        # Pages of the dashboard say it in HTML.
        is_json = path != "/cable" and not f"{path}/".startswith("/admin/")
        if answer.status_code >= 400 and not is_named and is_json:
            check_error(path, answer.json)

    def check_log(self) -> None:
        """No line is an error's, and none has a traceback."""
        bad = [line for line in self.log.records if line.exc_info or line.levelno >= logging.ERROR]
        self.log.clear()
        assert not bad, bad

    def count(self, **columns: Any) -> int:
        """How many messages have these values."""
        with self.world.database.reading() as session:
            found = sa.select(sa.func.count()).select_from(Message).filter_by(**columns)
            return session.scalar(found)


def check_error(path: str, body: Any) -> None:
    """The error is in the form of the protocol that the path belongs to."""
    if path.startswith(SUCCESS_FALSE):
        assert set(body) == {"success", "error"}, body
        assert body["success"] is False
    else:
        assert set(body) == {"error", "code", "message", "details"}, body
        assert body["error"] is True
        assert len(str(body)) < 100_000


@pytest.fixture
def target(world: World, caplog: pytest.LogCaptureFixture) -> Iterator[Target]:
    with world.database.transaction() as session:
        app, app_key = enrolment.add_with_key(session, "app", None, None, NOW)
        app.protocol = protocols.MYSMSAPIO
        sock, sock_key = enrolment.add_with_key(session, "sock", None, None, NOW)
        sock.protocol = protocols.SOCKET
        operator = {"Authorization": f"Bearer {operators.add(session, 'olga', NOW)}"}
    caplog.set_level(logging.DEBUG, "smsgw")
    before = psutil.Process().memory_info().rss
    print(f"FUZZ_SEED={SEED}")
    yield Target(world, caplog, operator, app_key, sock_key, itertools.count())
    world.app.extensions[EXTENSION].last_seen_writer.write()
    grown = psutil.Process().memory_info().rss - before
    assert not IS_LONG or grown < MOST_GROWTH, f"grew by {grown >> 20} MiB"
