"""deploy/nginx.conf and deploy/Caddyfile, as they stand but for ports and paths, before a running server."""

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.nginx import command_line, make_certificate, replaced
from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.store.db import Database
from tests.conftest import missing
from tests.live import node
from tests.running import ROOT, Server, environment, free_port, serving, until

from .web import answers, head

DEPLOY = ROOT / "deploy"
SMS = {"to": "+12025550123", "content": "hello"}
REFUSED_BODY = b"x" * 339_000
ROUNDS = 20


@dataclass
class Proxy:
    """A proxy that runs, the server behind it, and where both write their logs."""

    port: int
    plain_port: int
    folder: Path
    certificate: Path
    server: Server
    crm_key: str

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def plain_url(self) -> str:
        return f"http://localhost:{self.plain_port}"

    @property
    def as_crm(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.crm_key}"}

    def post(self, path: str, data: Any, **headers: str) -> requests.Response:
        return requests.post(
            self.url + path, data, headers=headers, verify=str(self.certificate), timeout=60
        )

    def get(self, url: str, **headers: str) -> requests.Response:
        return requests.get(
            url, headers=headers, verify=str(self.certificate), allow_redirects=False, timeout=60
        )

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.certificate))
        plain = socket.create_connection(("localhost", self.port), timeout=60)
        return context.wrap_socket(plain, server_hostname="localhost")

    def logs(self) -> str:
        files = [path for path in self.folder.rglob("*.log") if path.is_file()]
        return "".join(path.read_text(errors="replace") for path in files)


def caddy(folder: Path, port: int, plain_port: int, server_port: int) -> list[str]:
    """Its command line, with the file and our certificate instead of a public one."""
    site = replaced(
        (DEPLOY / "Caddyfile").read_text(),
        {
            "{\n    log {": f"{{\n    admin off\n    https_port {port}\n    http_port {plain_port}\n    log {{",
            "\nsms.example.org {": f"\nlocalhost {{\n    tls {folder}/certificate.pem {folder}/key.pem",
            "http://sms.example.org": "http://localhost",
            "127.0.0.1:8000": f"127.0.0.1:{server_port}",
        },
    )
    (folder / "Caddyfile").write_text(site)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


PROXIES = {"nginx": command_line, "caddy": caddy}
PHONE_PATHS = ("/api/sms", "/api/sms/", "/api/sms?x=1", "//api/sms")


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp(request.param)
    with started(request.param, folder) as running:
        yield running


@contextmanager
def started(name: str, folder: Path) -> Iterator[Proxy]:
    """The proxy and a server behind it, both ended afterwards."""
    if shutil.which(name) is None:
        missing(f"{name} is not installed")
    make_certificate(folder)
    url = f"sqlite:///{folder}/smsgw.db"
    with ExitStack() as stack:
        server = stack.enter_context(serving(folder, url, SMSGW_TRUSTED_PROXIES="1"))
        port, plain_port = free_port(), free_port()
        command = PROXIES[name](folder, port, plain_port, server.port)
        stack.enter_context(running(command, folder))
        proxy = Proxy(port, plain_port, folder, folder / "certificate.pem", server, add_people(url))
        until(lambda: is_up(proxy), f"{name} to serve: {folder}")
        yield proxy


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[None]:
    homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(**homes), stdout=log, stderr=log)
    try:
        yield
    except AssertionError as failure:
        failure.add_note((folder / "proxy.log").read_text())
        raise
    finally:
        process.terminate()
        process.wait(60)


def add_people(url: str) -> str:
    """Adds a phone and a CRM; the CRM's key."""
    database = Database(url)
    with database.transaction() as session:
        enrolment.add_with_password(session, "phone-1", None, None, clock.now())
        crm, key = crms.add(session, "clinic", None, clock.now())
        crm.loop_guard = 0
    database.close()
    return key


def is_up(proxy: Proxy) -> bool:
    try:
        return requests.get(f"{proxy.url}/healthz", verify=str(proxy.certificate), timeout=30).ok
    except requests.ConnectionError:
        return False


def test_a_refusal_arrives_whatever_the_body_is(proxy: Proxy):
    statuses = [proxy.post("/api/v1/messages", REFUSED_BODY).status_code for _ in range(ROUNDS)]
    statuses += [proxy.post("/nowhere", REFUSED_BODY).status_code for _ in range(ROUNDS)]
    assert statuses == [401] * ROUNDS + [404] * ROUNDS


def test_a_batch_of_9_mebibytes_is_answered_by_us(proxy: Proxy):
    content = "x" * 1500
    batch = {"messages": [{**SMS, "content": content} for _ in range(6300)]}
    answer = proxy.post("/api/v1/messages/batch", json.dumps(batch), **proxy.as_crm)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.status_code < 500


def test_a_generator_is_sent_in_chunks(proxy: Proxy):
    sent = (letter.encode() for letter in json.dumps(SMS))
    assert proxy.post("/api/v1/messages", sent, **proxy.as_crm).status_code == 202


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_sends_what_it_reads(proxy: Proxy, version: str):
    command = ["curl", "-sS", version, "--cacert", str(proxy.certificate), "-X", "POST", "-T", "-"]
    key = proxy.as_crm["Authorization"]
    ran = subprocess.run(
        [*command, "-H", f"Authorization: {key}", f"{proxy.url}/api/v1/messages"],
        input=json.dumps(SMS),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert json.loads(ran.stdout)["content"] == "hello", ran.stderr


NODE = """
const [url, key, body] = process.argv.slice(1)
const sent = require('https').request(url, {
  method: 'POST', headers: {Authorization: key, 'Content-Type': 'application/json'},
}, (answer) => { answer.resume(); console.log(answer.statusCode) })
sent.write(body.slice(0, 5)); sent.end(body.slice(5))
"""


def test_node_sends_without_a_length(proxy: Proxy):
    found = node.find() or missing("node is not installed")
    arguments = [f"{proxy.url}/api/v1/messages", proxy.as_crm["Authorization"], json.dumps(SMS)]
    ran = subprocess.run(
        [*found.node, "-e", NODE, *arguments],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(proxy.certificate)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.stdout.strip() == "202", ran.stderr


def test_a_websocket_opens(proxy: Proxy):
    with proxy.connect() as sock:
        sock.sendall(handshake(proxy, f"/ws?apiKey={proxy.crm_key}"))
        assert next(answers(sock)).status == 101


def test_a_phone_is_never_redirected(proxy: Proxy):
    for url in (proxy.url, proxy.plain_url):
        for path in PHONE_PATHS:
            assert proxy.get(url + path).status_code in (401, 404), url + path
        assert proxy.get(f"{url}/api/sms").status_code == 401
        assert proxy.get(f"{url}/api/sms/").status_code == 401


def test_all_else_over_plain_http_is_sent_to_https(proxy: Proxy):
    for path in ("/admin/sign-in", "/api/v1/messages?status=queued"):
        answer = proxy.get(proxy.plain_url + path)
        assert answer.status_code == 308
        assert answer.headers["Location"] == f"https://localhost{path}"


def test_cookies_of_the_dashboard_are_for_https_alone(proxy: Proxy):
    answer = proxy.get(f"{proxy.url}/admin/sign-in")
    assert answer.status_code == 200
    assert "; Secure" in answer.headers["Set-Cookie"]


def test_the_page_shows_the_files_as_they_are():
    page = (ROOT / "docs" / "https.md").read_text()
    for name in ("nginx.conf", "Caddyfile"):
        assert f"```\n{(DEPLOY / name).read_text()}```\n" in page


@pytest.mark.parametrize("name", PROXIES)
def test_no_log_has_a_key(name: str, tmp_path: Path):
    paths = ["/ws?apiKey=kept-secret", "/ws?token=kept-secret", "/cable?api_key=kept-secret"]
    with started(name, tmp_path) as proxy:
        before = [status(proxy, path) for path in paths]
        for url in (proxy.url, proxy.plain_url):
            proxy.get(f"{url}/api/v1/messages?api_key=kept-secret", **proxy.as_crm)
            proxy.get(f"{url}/api/sms?api_key=kept-secret", **proxy.as_crm)
        proxy.server.stop()
        after = [status(proxy, path) for path in paths]
        proxy.get(f"{proxy.url}/api/v1/messages?api_key=kept-secret", **proxy.as_crm)
        assert status(proxy, "/nowhere") == 502
        until(lambda: "/nowhere" in proxy.logs(), "a line")
        assert "/api/v1/messages" in proxy.logs()
    assert (before, after) == ([401, 401, 101], [502] * 3)
    assert "kept-secret" not in proxy.logs()
    assert proxy.crm_key not in proxy.logs()


def status(proxy: Proxy, path: str) -> int:
    """The answer to a handshake with the CRM's key in a header as well."""
    with proxy.connect() as sock:
        sock.sendall(handshake(proxy, path, X_API_Key=proxy.crm_key))
        return next(answers(sock)).status


def handshake(proxy: Proxy, path: str, **headers: str) -> bytes:
    sent = head(
        f"GET {path}".encode(),
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    )
    return sent.replace(b"Host: x", f"Host: localhost:{proxy.port}".encode())
