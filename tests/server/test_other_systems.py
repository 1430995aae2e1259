"""Systems without epoll, eventfd and sigtimedwait, as macOS is: gunicorn's own threads serve there."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from smsgw.server import signals
from tests.running import serving, until

MISSING = """
import os, select, signal
for module, names in ((os, ["eventfd"]), (signal, ["sigtimedwait"]), (select, list(vars(select)))):
    for name in names:
        if "epoll" in name.lower() or module is not select:
            vars(module).pop(name, None)
"""


def test_a_system_without_epoll_is_served_by_gunicorns_threads(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(MISSING)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with serving(tmp_path, f"sqlite:///{tmp_path}/new.db", PYTHONPATH=path) as server:
        assert "this system has no epoll" in server.log
        for status, body in ((200, None), (401, iter([b"{", b"}"]))):
            method, url = ("GET", "/healthz") if body is None else ("POST", "/api/sms")
            assert server.request(method, url, body)[0] == status
        (web,) = children(server.process.pid, "smsgw web")
        os.kill(web, signal.SIGKILL)
        until(lambda: children(server.process.pid, "smsgw web") not in ([], [web]), "a new start")
        assert server.request("GET", "/healthz")[0] == 200
        assert server.stop() == 0


def children(pid: int, word: str) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(one): Path(f"/proc/{one}/cmdline") for one in found}
    return [one for one, line in lines.items() if word.encode() in line.read_bytes()]


@pytest.mark.parametrize("has_it", [True, False])
def test_a_blocked_signal_is_waited_for(monkeypatch: pytest.MonkeyPatch, has_it: bool):
    if not has_it:
        monkeypatch.delattr(signal, "sigtimedwait")
    numbers = {signal.SIGUSR1}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        begun = time.monotonic()
        assert signals.wait(numbers, 0.3) is None
        assert time.monotonic() - begun >= 0.25
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        assert signals.wait(numbers, 60) == signal.SIGUSR1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
