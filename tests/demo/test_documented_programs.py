"""Each command line of the pages that starts a program of `demo/`, as it stands but for ports and how long it runs."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ..running import ROOT, free_port
from ..test_pages import CURRENT, code_of

LINES = sorted({line for path in CURRENT for line in code_of(path) if "demo/" in line})
SERVERS = [line for line in LINES if line.startswith("python3 demo/server.py ")]
PHONES = [line for line in LINES if line.startswith("python3 demo/phone.py ")]
LOGIN = "DEVICE_ID:PASSWORD@"


def _started(command: list[str]) -> subprocess.Popen[str]:
    # As from a shell: below `make test`, make would first print which folder it enters.
    variables = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)


def _end(program: subprocess.Popen[str]) -> None:
    program.terminate()
    program.communicate(timeout=60)


@pytest.fixture(scope="module")
def app_url() -> Iterator[str]:
    """A demo server's address for phones."""
    port = free_port()
    server = _started(["make", "demo", f"PORT={port}"])
    assert server.stdout is not None
    try:
        assert f"port {port}" in server.stdout.readline()
        yield f"http://{LOGIN}127.0.0.1:{port}/app"
    finally:
        _end(server)


@pytest.mark.parametrize("line", SERVERS)
def test_each_demo_server_of_the_pages_starts(line: str):
    port = free_port()
    words = shlex.split(line, comments=True)[1:]
    words[1:2] = [str(port)]
    server = _started([sys.executable, *words])
    assert server.stdout is not None
    try:
        assert f"port {port}" in server.stdout.readline()
    finally:
        _end(server)


@pytest.mark.parametrize("line", PHONES)
def test_each_simulated_phone_of_the_pages_polls(line: str, app_url: str, tmp_path):
    (tmp_path / "devices.txt").write_text("phone-1:secret\nphone-2:secret\n")
    line = re.sub(
        r"\bURL\b|http://\S+(?<!/)",
        app_url,
        line.replace("devices.txt", str(tmp_path / "devices.txt")),
    )
    if "--credentials" in line:
        line = line.replace(LOGIN, "").replace("5000", "2").replace("--seconds 60", "--seconds 3")
    words = shlex.split(line)[1:]
    command = [sys.executable, *words, "--speed", "100", "--polls", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_pages_show_servers_and_phones():
    assert len(SERVERS) >= 2
    assert len(PHONES) >= 4
