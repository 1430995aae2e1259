"""The load balancers of docs/several-machines.md, as they stand but for addresses, before two servers on PostgreSQL."""

import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from bench import nginx
from bench.nginx import make_certificate, replaced
from tests.conftest import missing
from tests.running import ROOT, free_port, serving, until

from . import test_reverse_proxies as proxies
from .test_several_machines import SERVE

# The port that the proxies name before it is replaced by both servers.
ONE = 8000
POLLS = 20
SOON = "response_header_timeout 1s"


class Hanging(BaseHTTPRequestHandler):
    """A machine whose health is asked for with success, and that answers nothing else."""

    goes_on = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.goes_on.wait()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def _block(start: str) -> str:
    """The block of the page that begins so."""
    page = (ROOT / "docs" / "several-machines.md").read_text()
    return next(block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if start in block)


def _with_ports(block: str, ports: tuple[int, int]) -> str:
    changes = zip(("10.0.0.11:8000", "10.0.0.12:8000"), ports, strict=True)
    return replaced(block, {old: f"127.0.0.1:{port}" for old, port in changes})


def caddy(folder: Path, port: int, plain_port: int, ports: tuple[int, int]) -> list[str]:
    """Its command line, with both servers in the place of one."""
    command = proxies.caddy(folder, port, plain_port, ONE)
    file = folder / "Caddyfile"
    both = _with_ports(_block("health_uri"), ports).strip()
    file.write_text(replaced(file.read_text(), {f"reverse_proxy 127.0.0.1:{ONE}": both}))
    return command


def with_nginx(folder: Path, port: int, plain_port: int, ports: tuple[int, int]) -> list[str]:
    """The same with nginx."""
    command = nginx.command_line(folder, port, plain_port, ONE)
    file = folder / "nginx.conf"
    changes = {
        f"http://127.0.0.1:{ONE}": "http://smsgw",
        "\nserver {": f"\n{_with_ports(_block('upstream'), ports)}\nserver {{",
    }
    file.write_text(replaced(file.read_text(), changes))
    return command


@pytest.mark.parametrize(("name", "command"), [("caddy", caddy), ("nginx", with_nginx)])
def test_polls_are_answered_after_one_of_two_servers_was_stopped(
    name: str, command: Callable[..., list[str]], tmp_path: Path, postgresql_url: str
):
    if shutil.which(name) is None:
        missing(f"{name} is not installed")
    make_certificate(tmp_path)
    port, plain_port = free_port(), free_port()
    with ExitStack() as stack:
        servers = []
        for machine in ("one", "two"):
            folder = tmp_path / machine
            folder.mkdir()
            server = serving(folder, postgresql_url, SERVE, SMSGW_TRUSTED_PROXIES="1")
            servers.append(stack.enter_context(server))
        ports = (servers[0].port, servers[1].port)
        stack.enter_context(proxies.running(command(tmp_path, port, plain_port, ports), tmp_path))
        certificate = str(tmp_path / "certificate.pem")
        url = f"https://localhost:{port}/api/sms"
        until(lambda: _status(url, certificate) == 401, f"{name} to serve: {tmp_path}")
        statuses = Counter(_status(url, certificate) for _ in range(POLLS))
        servers[0].stop()
        until(lambda: _answers_all(url, certificate), "the other server to answer all")
    assert statuses == {401: POLLS}
    assert all("POST /api/sms" in server.log for server in servers)


def test_caddy_gives_up_on_a_machine_that_hangs_so_that_the_phone_goes_on(tmp_path: Path):
    if shutil.which("caddy") is None:
        missing("caddy is not installed")
    make_certificate(tmp_path)
    port, plain_port = free_port(), free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hanging) as machine:
        threading.Thread(target=machine.serve_forever, daemon=True).start()
        command = caddy(tmp_path, port, plain_port, (machine.server_port, machine.server_port))
        file = tmp_path / "Caddyfile"
        file.write_text(replaced(file.read_text(), {"response_header_timeout 60s": SOON}))
        with proxies.running(command, tmp_path):
            url, certificate = (
                f"https://localhost:{port}/api/sms",
                str(tmp_path / "certificate.pem"),
            )
            until(lambda: _status(url, certificate) == 504, f"caddy to give up: {tmp_path}")
        Hanging.goes_on.set()
        machine.shutdown()


def _answers_all(url: str, certificate: str) -> bool:
    """Whether each poll of several is answered by a server; a proxy may say at first that one is away."""
    statuses = {_status(url, certificate) for _ in range(POLLS)}
    assert statuses <= {401, 502}
    return statuses == {401}


def _status(url: str, certificate: str) -> int:
    try:
        return requests.post(url, json={}, timeout=60, verify=certificate).status_code
    except requests.ConnectionError:
        return 0
