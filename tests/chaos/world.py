"""One server on one database, with phones, a CRM and a receiver of webhooks; and the traffic of a round."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..delivery.receiver import Receiver
from ..running import PATIENCE_SECONDS
from .callers import Caller, Feed, Phone, queue
from .faults import Machine
from .postgresql import Postgresql
from .processes import ServerProcesses
from .relay import Relay
from .sqlite import Sqlite

OPERATOR_KEY = "op_live_" + "c" * 64
PHONES = ("phone-1", "phone-2", "phone-3")
LEASE_SECONDS = 1
MESSAGES = 8
INBOUND = 2
SETTINGS = {
    "SMSGW_OPERATOR_KEY": OPERATOR_KEY,
    "SMSGW_LEASE_SECONDS": str(LEASE_SECONDS),
    "SMSGW_SEGMENTS_PER_MINUTE": "100000",
    "SMSGW_WEBHOOK_TIMEOUT_SECONDS": "2",
    "SMSGW_WEBHOOK_RETRY_SCHEDULE": ",".join(["0"] + ["1"] * 30),
    "SMSGW_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
}
FINAL = ("delivered", "failed", "expired", "cancelled")
LAST_EVENTS = {"message.received", *(f"message.{status}" for status in FINAL)}


@dataclass
class Traffic:
    """What a CRM queues and phones receive in one round, and what of it came to no end."""

    number: int
    kind: str
    references: list[str] = field(default_factory=list)
    inbound: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    seconds: float = 0.0


class World:
    """All that takes part. `chance` decides what is left to chance."""

    def __init__(self, database: Sqlite | Postgresql, folder: Path, chance: random.Random) -> None:
        self.database = database
        self.chance = chance
        self.folder = folder
        self.sent: Counter[str] = Counter()
        self._stack = ExitStack()
        self._after_round = ExitStack()
        self._traffic = Traffic(0, "")
        self._ended: set[str] = set()
        self.receiver = self._stack.enter_context(Receiver())
        self.relay = self._stack.enter_context(Relay(chance))
        self.server = self.add_server("server")
        self.operator = Caller(self.relay.port, OPERATOR_KEY)
        self.crm = Caller(self.relay.port, self._made("crms", name="clinic")["api_key"])
        self.feed = Feed(self.crm)
        self.phones = [Phone(name, self._url_of_new(name), self.sent) for name in PHONES]
        self.crm.repeat("POST", "/api/v1/webhooks", {"url": self.receiver.url})

    def add_server(self, name: str) -> ServerProcesses:
        """Another server on the same database, which takes its share of the connections."""
        machine = Machine(self.folder, name, self.database.disk)
        settings = {**SETTINGS, "SMSGW_DATABASE_URL": self.database.url}
        server = ServerProcesses(self.folder, name, machine, settings)
        self._stack.callback(server.stop)
        server.start()
        self.relay.targets.append(server.port)
        return server

    def remove_server(self, server: ServerProcesses) -> None:
        """Take such a server away."""
        self.relay.targets.remove(server.port)
        server.stop()

    @contextmanager
    def traffic(self, number: int, kind: str, *, names_devices: bool) -> Iterator[Traffic]:
        """Phones that poll, and a CRM that queues; afterwards all of it has come to an end, or stands still."""
        self._traffic = traffic = _traffic(number, kind)
        began, stop = time.monotonic(), threading.Event()
        threads = [
            threading.Thread(target=self._queue, args=(names_devices,)),
            *(threading.Thread(target=self._live, args=(phone, stop)) for phone in self.phones),
        ]
        for thread in threads:
            thread.start()
        try:
            yield traffic
            threads[0].join()
            traffic.left = left_in_the_end(lambda: self._unsettled(traffic))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            self._after_round.close()
            traffic.seconds = time.monotonic() - began

    def after_round(self, work: Callable[[], None]) -> None:
        """Do this when all of the round has come to an end."""
        self._after_round.callback(work)

    def queue_again(self) -> None:
        """Queue what the CRM queues in this round, all of it, from another connection."""
        self._queue(names_devices=True)

    def login(self, phone: Phone, path: str, body: dict[str, Any]) -> str:
        """The URL to type into this phone after an operator has made it another secret."""
        return self._typed(self.operator.repeat("POST", f"/api/v1/devices{path}", body))

    def close(self) -> None:
        """End everything."""
        for phone in self.phones:
            phone.close()
        self._stack.close()
        self.database.close()

    def _made(self, what: str, **body: Any) -> Any:
        return self.operator.repeat("POST", f"/api/v1/{what}", body)

    def _url_of_new(self, name: str) -> str:
        return self._typed(self._made("devices", device_id=name))

    def _typed(self, login: dict[str, str]) -> str:
        return f"http://{login['username']}:{login['password']}@127.0.0.1:{self.relay.port}/api/sms"

    def _queue(self, names_devices: bool) -> None:
        for place, reference in enumerate(self._traffic.references):
            draft = {"to": "+12025550123", "content": reference, "reference": reference}
            if names_devices and place % 3 == 0:
                draft["device_id"] = PHONES[place % len(PHONES)]
            queue(self.crm, draft)
            time.sleep(0.02)

    def _live(self, phone: Phone, stop: threading.Event) -> None:
        inbound = [one for one in self._traffic.inbound if phone.name in one]
        phone.live(inbound, stop)

    def _unsettled(self, traffic: Traffic) -> set[str]:
        """What of this round has not come to an end, by its events."""
        for event in self.feed.read():
            if event["type"] in LAST_EVENTS:
                self._ended.add(event["data"]["reference"] or event["data"]["content"])
        return {*traffic.references, *traffic.inbound} - self._ended


def _traffic(number: int, kind: str) -> Traffic:
    references = [f"{kind}-{number}-{place}" for place in range(MESSAGES)]
    inbound = [f"{kind}-{number}-{name}-{place}" for name in PHONES for place in range(INBOUND)]
    return Traffic(number, kind, references, inbound)


def left_in_the_end(ask: Callable[[], set[str]]) -> set[str]:
    """What is left once nothing is, or once nothing has moved for a minute."""
    before: set[str] | None = None
    deadline = 0.0
    while True:
        left = ask()
        if left != before:
            before, deadline = left, time.monotonic() + PATIENCE_SECONDS
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.1)
