"""The whole way, as a new user goes it: `make run`, what it prints, a phone, the pages' commands, a webhook."""

import base64
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from tests import debian
from tests.running import ROOT, environment, free_port, until

ENDS_WITHIN_SECONDS = 20


class Phone:
    """The stock app, byte for byte: its headers, their order, one connection kept alive."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._host = f"{parts.hostname}:{parts.port}"
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=30)
        self._answers = self._socket.makefile("rb")
        login = f"{parts.username}:{parts.password}".encode("latin-1")
        self._identity = (
            "User-Agent: Dalvik/2.1.0 (Linux; U; Android 9; Pixel 2 Build/PQ3A.190801.002) "
            "medic.gateway.alert.generic/v1.8.1\r\n"
            f"Authorization: Basic {base64.b64encode(login).decode()}\r\n"
        )

    def check(self) -> Any:
        """What saving the settings does."""
        return self._send(
            f"GET {self._path} HTTP/1.1\r\n{self._identity}Content-Type: application/json\r\n"
            f"Host: {self._host}\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\n\r\n"
        )

    def poll(self, messages: list[Any] = [], updates: list[Any] = []) -> list[dict[str, str]]:  # noqa: B006
        """One poll; the messages that are to be sent."""
        body = json.dumps({"messages": messages, "updates": updates}, separators=(",", ":"))
        answer = self._send(
            f"POST {self._path} HTTP/1.1\r\n{self._identity}Accept: application/json\r\n"
            "Accept-Charset: utf-8\r\nCache-Control: no-cache\r\nContent-Type: application/json\r\n"
            f"Host: {self._host}\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\n"
            f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
        )
        found: list[dict[str, str]] = answer["messages"]
        return found

    def report(self, dispatch_id: str, *statuses: str) -> None:
        """A poll that brings these reports, in this order."""
        self.poll(updates=[{"status": status, "id": dispatch_id} for status in statuses])

    def _send(self, request: str) -> Any:
        self._socket.sendall(request.encode())
        assert b" 200 " in self._answers.readline()
        lines = iter(self._answers.readline, b"\r\n")
        headers = dict(line.decode().strip().lower().split(": ", 1) for line in lines)
        return json.loads(self._answers.read(int(headers["content-length"])))

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


class Receiver(ThreadingHTTPServer):
    """A CRM's webhook receiver that takes nothing it cannot verify."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = ""
        self.events: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"

    def types(self) -> set[str]:
        return {event["type"] for event in self.events}


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.events.append(Webhook(self.server.secret).verify(body, headers))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@contextmanager
def _make_run(folder: Path, database_url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    env = environment(SMSGW_DATABASE_URL=database_url, SMSGW_WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        env.pop(name, None)
    with (folder / "output").open("wb") as output, (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "run", f"PORT={port}"], cwd=ROOT, env=env, stdout=output, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def test_from_make_run_to_a_delivered_message_and_an_answer(
    database_url: str, tmp_path: Path, receiver: Receiver
):
    _walk(database_url, tmp_path, receiver)


@pytest.mark.skipif(not debian.is_installed(), reason="Debian's PostgreSQL is not installed")
def test_the_same_from_an_empty_database_of_debians_postgresql(tmp_path: Path, receiver: Receiver):
    with debian.postgresql() as url:
        _walk(url, tmp_path, receiver)


def _walk(database_url: str, tmp_path: Path, receiver: Receiver) -> None:
    port = free_port()
    with _make_run(tmp_path, database_url, port) as process:
        until(lambda: _listens(port), "the server to listen")
        printed = (tmp_path / "output").read_text()
        curl = _found(r"^\s*(curl .*)$", printed)
        key = _found(r"(crm_live_\w+)", curl)
        phone = Phone(_found(r"(http://phone-1:\S+)", printed))
        assert phone.check() == {"medic-gateway": True}
        assert phone.poll() == []

        hook = _api(port, key, "POST", "/webhooks", {"url": receiver.url})
        receiver.secret = hook["secret"]
        queued = json.loads(_run(curl))
        assert queued["status"] == "queued"

        (outgoing,) = phone.poll()
        assert outgoing["to"] == queued["to"] == "+12025550123"
        assert outgoing["content"] == queued["content"]
        assert phone.poll() == []
        phone.report(outgoing["id"], "UNSENT", "PENDING", "SENT")
        phone.report(outgoing["id"], "DELIVERED")
        answer = {
            "sms_received": 1772366400000,
            "sms_sent": 0,
            "content": "Thanks 😀",
            "from": "+12025550123",
            "id": "4c1e0a52-6a0e-4f0e-9d0f-0d8c7c6b5a40",
        }
        for _ in range(2):
            assert phone.poll(messages=[answer]) == []
        _follow_the_pages(port, key, phone)
        phone.close()

        message = _api(port, key, "GET", f"/messages/{queued['id']}")
        assert message["status"] == "delivered"
        until(
            lambda: (
                receiver.types()
                >= {
                    "message.dispatched",
                    "message.accepted",
                    "message.sent",
                    "message.delivered",
                    "message.received",
                }
            ),
            "all webhooks",
        )
        received = [event for event in receiver.events if event["type"] == "message.received"]
        assert [event["data"]["content"] for event in received] == ["Thanks 😀"]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(ENDS_WITHIN_SECONDS)
        until(lambda: not _listens(port), "the port to be free")
        assert time.monotonic() - began < ENDS_WITHIN_SECONDS
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert key not in log


def _follow_the_pages(port: int, key: str, phone: Phone) -> None:
    """Run the README's `curl` commands and the receiver of docs/webhooks.md, as they stand but for keys and ports."""
    hook_port = free_port()
    export, *rest = _block("README.md", "export KEY").partition("\n\n")
    export = export.replace("crm_live_...", key).replace(":8000/", f":{port}/")
    add = _block("docs/webhooks.md", "curl $API/webhooks")
    add = add.replace("https://crm.example.org/sms", f"http://127.0.0.1:{hook_port}/sms")
    (hook,) = _answers(f"{export}\n{add}")
    program = _block("docs/webhooks.md", "from http.server")
    program = program.replace("whsec_...", hook["secret"]).replace("9000", str(hook_port))
    with _running(program) as receiver:
        until(lambda: _listens(hook_port), "the receiver to listen")
        sent, everything, inbound, events = _answers(export + "".join(rest))
        assert (sent["status"], sent["reference"]) == ("queued", "order-17")
        assert sent["id"] in [message["id"] for message in everything["data"]]
        assert [message["content"] for message in inbound["data"]] == ["Thanks 😀"]
        assert "message.received" in [event["type"] for event in events["data"]]
        assert [outgoing["content"] for outgoing in phone.poll()] == ["Hello"]
        assert receiver.stdout is not None
        assert receiver.stdout.readline().split()[1:] == [b"message.dispatched", b"Hello"]


@contextmanager
def _running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def _block(page: str, first: str) -> str:
    """The page's code block that begins with these words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if block.startswith(first)]
    return str(found)


def _answers(commands: str) -> list[Any]:
    """The JSON that each of these commands prints."""
    text, found = _run(f"set -e\n{commands}"), []
    while text.strip():
        answer, end = json.JSONDecoder().raw_decode(text.lstrip())
        found.append(answer)
        text = text.lstrip()[end:]
    return found


def _api(port: int, key: str, method: str, path: str, body: Any = None) -> Any:
    command = [
        *("curl", "-sS", "--fail-with-body", "-X", method),
        *("-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"),
        f"http://127.0.0.1:{port}/api/v1{path}",
    ]
    if body is not None:
        command += ["-d", json.dumps(body)]
    return json.loads(_run(shlex.join(command)))


def _run(command: str) -> str:
    return subprocess.run(
        ["sh", "-c", command], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, text
    return found[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
