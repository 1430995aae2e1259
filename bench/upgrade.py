"""Measures how long phones wait while a database of 0.1.0 is upgraded, and what is lost: python -m bench.upgrade."""

import base64
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from smsgw import ids
from smsgw.store import migrations
from smsgw.store.db import Database

from . import places

MESSAGES = 100_000
PHONES = 20
FIRST = "0001"
SENT_AT = 1767225600000
PAUSE_SECONDS = 0.05
POLLS_AFTERWARDS = 5


class Phone(threading.Thread):
    """A phone that brings one SMS after the other, each until it is answered with 200."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(daemon=True)
        self.name, self.brought = f"phone-{number}", 0
        self.first_answer = 0.0
        self._port = port
        key = base64.b64encode(f"{self.name}:{secret(number)}".encode()).decode()
        self._headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}

    def run(self) -> None:
        """Poll until enough was brought."""
        while self.brought < POLLS_AFTERWARDS:
            if self._poll():
                self.first_answer = self.first_answer or time.perf_counter()
                self.brought += 1
            time.sleep(PAUSE_SECONDS)

    def _poll(self) -> bool:
        sms = {"id": f"{self.name}-{self.brought}", "from": "+12025550147", "content": "hello"}
        times = {"sms_sent": SENT_AT, "sms_received": SENT_AT + self.brought}
        body = json.dumps({"messages": [{**sms, **times}], "updates": []})
        connection = http.client.HTTPConnection(places.HOST, self._port, timeout=60)
        try:
            connection.request("POST", "/api/sms", body, self._headers)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def secret(number: int) -> str:
    """The password of a phone."""
    return f"password-of-phone-{number:04}"


def fill(url: str) -> None:
    """Makes the tables of 0.1.0 with messages that are queued, on their way and done."""
    now = datetime.now(UTC)
    with closing(Database(url)) as database:
        assert migrations.upgrade(database, FIRST) == FIRST
        with database.engine.begin() as connection:
            tables = sa.MetaData()
            tables.reflect(connection, only=["crms", "devices", "messages", "feed_base"])
            crm = {"id": "crm_1", "name": "clinic", "key_hash": "h", "uses_all_devices": True}
            connection.execute(
                tables.tables["crms"].insert(),
                {**crm, "strict_numbers": False, "enabled": True, "created_at": now},
            )
            flags = {"enabled": True, "is_online": False, "revision": 0, "unknown_report_count": 0}
            connection.execute(
                tables.tables["devices"].insert(),
                [
                    {
                        "id": f"phone-{n}",
                        "secret_hash": ids.hash_secret(secret(n)),
                        **flags,
                        "created_at": now,
                    }
                    for n in range(PHONES)
                ],
            )
            connection.execute(
                tables.tables["messages"].insert(), [message(n, now) for n in range(MESSAGES)]
            )


def message(number: int, now: datetime) -> dict[str, object]:
    """A row of 0.1.0: one of ten is queued for a later day, the others are delivered."""
    is_queued = number % 10 == 0
    later = now + timedelta(days=1)
    return {
        "id": f"msg_{number:026}",
        "direction": "outbound",
        "status": "queued" if is_queued else "delivered",
        "crm_id": "crm_1",
        "lane": "c:crm_1" if is_queued else None,
        "to_number": f"+1202555{number % 10000:04}",
        "content": f"text {number}",
        "encoding": "gsm7",
        "segments": 1,
        "priority": 4,
        "due_at": later if is_queued else None,
        "expires_at": later + timedelta(days=1) if is_queued else None,
        "created_at": now,
        "updated_at": now,
    }


def counted(url: str, direction: str) -> int:
    """How many messages of a direction are stored."""
    with closing(Database(url)) as database, database.engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM messages WHERE direction = :direction")
        return int(connection.execute(query, {"direction": direction}).scalar_one())


def measure(folder: Path, url: str) -> str:
    """Starts this version on the old tables while phones poll, and says what it took."""
    fill(url)
    port = places.free_port()
    phones = [Phone(number, port) for number in range(PHONES)]
    for phone in phones:
        phone.start()
    environment = {**os.environ, **places.SETTINGS, "SMSGW_DATABASE_URL": url}
    began = time.perf_counter()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=places.ROOT,
            env={**environment, "SMSGW_PORT": str(port), "SMSGW_ENV_FILE": ""},
            stdout=log,
            stderr=log,
        )
    try:
        for phone in phones:
            phone.join(places.PATIENCE_SECONDS)
    finally:
        places.end(process)
    seconds = max(phone.first_answer for phone in phones) - began
    lost = MESSAGES - counted(url, "outbound")
    brought = sum(phone.brought for phone in phones)
    return (
        f"{url.partition(':')[0]}: {MESSAGES} messages, {PHONES} phones; all answered after {seconds:.1f} s; "
        f"{lost} messages lost, {brought} SMS brought, {counted(url, 'inbound')} stored"
    )


def main() -> None:
    """Measures both databases."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(measure(folder, f"sqlite:///{folder}/old.db"))
        with places.postgresql(folder) as server_url:
            url = places.new_database(folder, server_url, "old")
            with closing(Database(url)) as database, database.engine.begin() as connection:
                connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA public")
            print(measure(folder, url))


if __name__ == "__main__":
    main()
