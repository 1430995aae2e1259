"""Secrets and texts are planted, and all that the server and its commands write is searched for them."""

import base64
import json
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from smsgw.cli.entry import root

from ..conftest import _execute, new_database
from ..delivery.receiver import Answer, Receiver
from ..running import Server, environment, free_port, serving, until
from ..server.web import head

OPERATOR_KEY = "planted-operator-key-7d1e"
SECRET_KEY = "planted-secret-key-" + "5a" * 30
DATABASE_PASSWORD = "planted-database-password"
HOOK = ("planted-hook-password", "planted-hook-token", "planted-mq-password", "planted-location")
GUESSES = ("planted-wrong-password", "planted-as-user-name", "planted-wrong-bearer")
TEXTS = ("planted text to a person", "planted text of a person", "planted unreadable text")
NUMBERS = ("2025550147", "15198765432")


@dataclass
class Plant:
    """A running server, all that it has answered, and the secrets it has handed out."""

    server: Server
    settings: dict[str, str]
    logins: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[str, int, str]] = field(default_factory=list)
    hook_secrets: list[str] = field(default_factory=list)

    @property
    def crm(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.logins['crm']}"}

    @property
    def operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {OPERATOR_KEY}"}

    @property
    def phone(self) -> dict[str, str]:
        return basic("phone-1", self.logins["password"])

    def ask(
        self, method: str, path: str, body: Any = None, headers: Any = None, key: str = ""
    ) -> Any:
        """One request. `key` is the field of the answer that holds a new secret, which nothing else may hold."""
        status, _, raw = self.server.request(method, path, body, {} if headers is None else headers)
        found = json.loads(raw) if raw[:1] in b"{[" and raw else None
        if key and found:
            self.logins[f"{path} {len(self.logins)}"] = found[key]
        elif found and "secret" in found:
            self.hook_secrets.append(found["secret"])
        else:
            self.answers.append((f"{method} {path}", status, raw.decode()))
        return found

    def run(self, *arguments: str) -> str:
        """What a command prints."""
        handlers, level = logging.getLogger().handlers, logging.getLogger().level
        result = CliRunner().invoke(root, list(arguments), env=self.settings)
        logging.getLogger().handlers = handlers
        logging.getLogger().setLevel(level)
        return result.output


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


@pytest.fixture(params=["sqlite json", "postgresql text"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    backend, log_format = request.param.split()
    if backend == "sqlite":
        yield from planted(tmp_path, f"sqlite:///{tmp_path}/smsgw.db", log_format)
        return
    with new_database(request.getfixturevalue("postgresql_server")) as url:
        with_password = sa.make_url(url).set(password=DATABASE_PASSWORD)
        yield from planted(tmp_path, with_password.render_as_string(False), log_format)


def planted(folder: Path, database_url: str, log_format: str) -> Iterator[Plant]:
    settings = {
        "SMSGW_OPERATOR_KEY": OPERATOR_KEY,
        "SMSGW_SECRET_KEY": SECRET_KEY,
        "SMSGW_LOG_LEVEL": "DEBUG",
        "SMSGW_LOG_FORMAT": log_format,
        "SMSGW_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "SMSGW_WEBHOOK_TIMEOUT_SECONDS": "2",
    }
    environ = environment(SMSGW_DATABASE_URL=database_url, **settings)
    made = json.loads(CliRunner().invoke(root, ["init", "--json"], env=environ).stdout)
    with serving(folder, database_url, None, **settings) as server:
        logins = {
            "crm": made["crm"]["api_key"],
            "password": made["device"]["password"],
            "operator": made["operator"]["key"],
        }
        yield Plant(server, {**environ, "SMSGW_PORT": str(server.port)}, logins)


def test_no_secret_and_no_text_is_in_anything_that_is_written(plant: Plant, tmp_path: Path):
    with Receiver(redirecting) as receiver:
        send_and_receive(plant)
        give_wrong_secrets(plant)
        open_sockets(plant)
        fail_to_deliver(plant, receiver)
    printed = run_commands(plant)
    kill_the_web_process(plant)
    lose_the_database(plant)
    log = plant.server.log
    plant.server.stop()

    secrets = [*plant.logins.values(), OPERATOR_KEY, SECRET_KEY, DATABASE_PASSWORD]
    hidden = [*secrets, *plant.hook_secrets, *HOOK, *GUESSES]
    encoded = [base64.b64encode(f"phone-1:{plant.logins['password']}".encode()).decode()]
    assert len(plant.logins) == 5
    assert len(plant.hook_secrets) >= 5
    assert not found_in(plant.server.log_file.read_text(), [*hidden, *encoded, *TEXTS, *NUMBERS])
    assert "the database cannot be used" in log
    for asked, status, answer in plant.answers:
        shown = [secret for secret in hidden if secret != HOOK[1]]
        is_shown = status < 400 and "/deliveries" not in asked
        assert not found_in(answer, shown if is_shown else hidden), asked
        if status >= 400 or asked == "GET /metrics":
            assert not found_in(answer, TEXTS), asked
    assert not found_in(printed, [secret for secret in hidden if secret != HOOK[1]])
    assert not found_in(stored(plant, tmp_path), [*secrets, *encoded, *GUESSES])


def found_in(text: str, secrets: Sequence[str]) -> list[str]:
    return [secret for secret in secrets if secret in text]


def redirecting(_request: object) -> Answer:
    location = "http://127.0.0.1:1/x?token=planted-location"
    return Answer(302, (("Location", location),), b"gone")


def send_and_receive(plant: Plant) -> None:
    """Texts and numbers in all that CRMs and phones send, right and wrong, once and again."""
    draft = {"to": "+12025550147", "content": TEXTS[0], "reference": "r-1"}
    keyed = {**plant.crm, "Idempotency-Key": "k-1"}
    for body in (draft, draft, {**draft, "content": TEXTS[0] + "!"}):
        plant.ask("POST", "/api/v1/messages", body, keyed)
        plant.ask("POST", "/api/v1/messages", body, plant.crm)
    broken = json.dumps(draft)[:-4].encode()
    wrong = [broken, {**draft, "to": "(2025550147)x"}, {**draft, "priority": 99}, [draft]]
    for body in wrong:
        plant.ask("POST", "/api/v1/messages", body, plant.crm)
        plant.ask("POST", "/sendMessage", body, plant.crm)
        plant.ask("POST", "/api/v1/sms/send", body, plant.crm)
    plant.ask("POST", "/api/v1/messages/batch", {"messages": [draft, 5]}, plant.crm)
    plant.ask("GET", "/api/v1/messages/+12025550147", None, plant.crm)
    plant.ask("GET", "/api/v1/messages?q=planted&from=%2B12025550147", None, plant.operator)
    sms = {"id": "in-1", "from": "+15198765432", "content": TEXTS[1]}
    poll = {
        "messages": [sms, {**sms, "id": 5, "content": TEXTS[2]}],
        "updates": [{"text": TEXTS[2]}],
    }
    for body in (
        poll,
        {"messages": [{**sms, "content": TEXTS[2]}]},
        json.dumps(poll)[:-9].encode(),
    ):
        plant.ask("POST", "/api/sms", body, plant.phone)
    dispatches = plant.ask("POST", "/api/sms", {}, plant.phone)["messages"]
    updates = [{"id": one["id"], "status": "SENT"} for one in dispatches]
    plant.ask("POST", "/api/sms", {"updates": updates}, plant.phone)


def give_wrong_secrets(plant: Plant) -> None:
    """Wrong secrets, right ones in wrong places, and heads that are no HTTP."""
    password, wrong, as_name, bearer = plant.logins["password"], *GUESSES
    headers = [
        basic("phone-1", wrong),
        basic(as_name, wrong),
        {"Authorization": f"Bearer {bearer}"},
        {"Authorization": f"Basic {bearer}"},
        {"Authorization": bearer},
        {"X-API-Key": bearer},
        {"Cookie": f"session={plant.logins['crm']}"},
        {"X-Request-ID": plant.logins["crm"], "Referer": f"https://x/?api_key={password}"},
        {"User-Agent": f"medic.gateway.alert/{plant.logins['crm']}"},
    ]
    for given in headers:
        for path in ("/api/sms", "/api/v1/messages", "/api/v1/crms", "/metrics"):
            plant.ask("GET", path, None, given)
    for name in ("api_key", "apiKey", "token", "key", "password"):
        for path in ("/api/sms", "/ws", "/cable", "/nothing"):
            plant.ask("GET", f"{path}?{name}={password}&x={plant.logins['crm']}")
    plant.ask("POST", "/sendMessage", {"apiKey": bearer, "content": TEXTS[0]})
    # What stands in the path is the caller's own, and may be in the answer; not in the log.
    plant.server.request("GET", f"/api/v1/messages/{plant.logins['crm']}", None, plant.crm)
    for raw in (
        b"GET /ws?apiKey=" + password.encode() + b" HTTP/9.9\r\n\r\n",
        head(b"GET /ws?token=" + password.encode(), Authorization="Bearer " + "x" * 9000),
        head(b"POST /api/sms", Authorization=plant.phone["Authorization"], Content_Length="-1"),
        password.encode() + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", plant.server.port), timeout=30) as sock:
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
            plant.answers.append(("raw", 400, sock.recv(10_000).decode()))


def open_sockets(plant: Plant) -> None:
    """Devices and CRMs that register, and sockets with the key in the query."""
    device = {"deviceId": "sock"}
    token = plant.ask("POST", "/registerDevice", device, plant.crm, key="token")["token"]
    plant.ask("POST", "/registerCRM", {"crmName": "second"}, plant.operator, key="apiKey")
    for target in (
        f"/ws?token={token}",
        f"/ws?apiKey={plant.logins['crm']}",
        f"/cable?api_key={token}",
    ):
        with socket.create_connection(("127.0.0.1", plant.server.port), timeout=30) as sock:
            upgrade = head(
                f"GET {target}".encode(),
                Upgrade="websocket",
                Connection="Upgrade",
                Sec_WebSocket_Version="13",
                Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
            )
            sock.sendall(upgrade + b"\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0")
            assert sock.recv(12) == b"HTTP/1.1 101"


def fail_to_deliver(plant: Plant, receiver: Receiver) -> None:
    """Endpoints with secrets in their URLs, none of which can take what it is sent."""
    password, token, broker, _ = HOOK
    closed = free_port()
    for url in (
        f"http://127.0.0.1:{closed}/hook?token={token}",
        f"{receiver.url.replace('http:', 'https:')}?token={token}",
        f"{receiver.url}?token={token}",
        f"http://127.0.0.1:{plant.server.port}/nothing?token={token}",
        f"amqp://user:{broker}@127.0.0.1:{closed}/vhost?exchange=x",
    ):
        made = plant.ask("POST", "/api/v1/webhooks", {"url": url}, plant.crm)
        assert "id" in made, made
        test = plant.ask("POST", f"/api/v1/webhooks/{made['id']}/test", {}, plant.crm)
        until(lambda test=test: attempts(plant, test["id"]), f"an attempt at {url}")
        plant.ask("GET", f"/api/v1/webhooks/{made['id']}/deliveries", None, plant.crm)
    for url in (
        f"http://user:{password}@127.0.0.1/?token={token}",
        f"ftp://u:{password}@x/{token}",
    ):
        plant.ask("POST", "/api/v1/webhooks", {"url": url}, plant.crm)
        plant.ask("POST", "/registerCRM", {"crmName": "x", "callbackUrl": url}, plant.operator)
    plant.ask("POST", f"/api/v1/webhooks/{made['id']}/rotate-secret", {}, plant.crm)


def attempts(plant: Plant, delivery_id: str) -> Any:
    return plant.ask("GET", f"/api/v1/deliveries/{delivery_id}", None, plant.crm)["attempts"]


def run_commands(plant: Plant) -> str:
    """What commands print that give nobody a new secret."""
    plant.ask("GET", "/metrics", None, plant.operator)
    plant.ask("GET", "/openapi.json")
    plant.ask("GET", "/readyz")
    commands = ["doctor", "device list", "crm list", "operator list", "webhook list", "db check"]
    return "\n".join(
        plant.run(*command.split(), *more) for command in commands for more in ([], ["--json"])
    )


def kill_the_web_process(plant: Plant) -> None:
    """The supervisor says so and starts another one."""
    for child in psutil.Process(plant.server.process.pid).children():
        child.send_signal(signal.SIGKILL)
    until(lambda: is_served(plant), "the server to be back")


def is_served(plant: Plant) -> bool:
    try:
        return plant.server.request("GET", "/healthz")[0] == 200
    except OSError:
        return False


def lose_the_database(plant: Plant) -> None:
    """It is away until the end: whatever is asked is refused, and the log says why."""
    url = sa.make_url(plant.settings["SMSGW_DATABASE_URL"])
    if url.get_backend_name() == "sqlite":
        path = Path(url.database)
        path.rename(f"{path}.away")
        # Or a process that is just starting would make an empty file there.
        path.mkdir()
    else:
        admin = url.set(database="postgres").render_as_string(False)
        _execute(admin, f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false")
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'"
        _execute(admin, ended)
    until(lambda: fails_without_database(plant), "requests to fail")
    until(lambda: "the database cannot be used" in plant.server.log, "the line in the log")


def fails_without_database(plant: Plant) -> bool:
    draft = {"to": "+12025550147", "content": TEXTS[0]}
    plant.ask("POST", "/api/v1/messages", draft, plant.crm)
    plant.ask("POST", "/api/sms", {"messages": [{"id": "z", "content": TEXTS[1]}]}, plant.phone)
    return [status for _, status, _ in plant.answers[-2:]] == [503, 503]


def stored(plant: Plant, folder: Path) -> str:
    """All that stands in the database and in the files beside it, without the log and what the test made."""
    url = sa.make_url(plant.settings["SMSGW_DATABASE_URL"])
    if url.get_backend_name() == "sqlite":
        files = [
            path for path in folder.iterdir() if path != plant.server.log_file and path.is_file()
        ]
        return "\n".join(path.read_bytes().decode("latin-1") for path in files)
    admin = url.set(database="postgres").render_as_string(False)
    _execute(admin, f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = [
            str(row)
            for table in tables
            for row in connection.exec_driver_sql(f"SELECT t::text FROM {table} t")
        ]
    engine.dispose()
    assert len(rows) > 20
    return "\n".join(rows)
