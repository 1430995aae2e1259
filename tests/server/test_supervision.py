"""The supervised start: what runs, what ends it, and what is started again."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw import clock, factory
from smsgw.core.accounts import crms
from smsgw.http.context import EXTENSION
from smsgw.server import preparation, supervisor
from smsgw.server.children import FIRST_PAUSE_SECONDS, LARGE_BLOCK, STOP_SECONDS, Child, Work
from smsgw.settings import Settings
from smsgw.store.db import Database
from tests.running import ROOT, Server, environment, free_port, serving, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, f"sqlite:///{tmp_path}/smsgw.db") as running:
        until(lambda: len(_descendants(running.process.pid)) == 4, "all processes to run")
        yield running


def test_one_start_serves_and_has_a_worker(database_url: str, tmp_path: Path):
    with serving(tmp_path, database_url) as server:
        until(lambda: server.request("GET", "/readyz")[0] == 200, "the worker to be heard of")


@pytest.mark.parametrize(("given", "most"), [({}, 2), ({"MALLOC_ARENA_MAX": "5"}, 5)])
def test_its_threads_share_few_heaps_unless_the_operator_says_how_many(tmp_path, given, most):
    with serving(tmp_path, f"sqlite:///{tmp_path}/new.db", **given) as running:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: running.request("GET", "/docs/cli"), range(64)))
        heaps = [_heaps(pid) for pid in _descendants(running.process.pid)]
    assert max(heaps) <= most
    assert most == 2 or max(heaps) > 2


def _heaps(pid: int) -> int:
    """How many heaps glibc has made in the process: all but the first begin at a multiple of 64 MiB."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    starts = [int(line.partition("-")[0], 16) for line in maps if " rw-p 00000000 00:00 0" in line]
    return 1 + sum(start % (64 * 2**20) == 0 for start in starts)


def test_the_web_server_and_the_worker_can_run_apart(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/smsgw.db"
    command = [sys.executable, "-m", "smsgw", "serve", "--no-worker", "--workers", "1"]
    with serving(tmp_path, url, command) as server:
        (web,) = until(lambda: _children(server.process.pid, ""), "the web server")
        assert len(until(lambda: _children(web, ""), "its process")) == 1
        assert server.request("GET", "/readyz")[0] == 503
        worker = subprocess.Popen(
            [sys.executable, "-m", "smsgw", "worker"],
            cwd=ROOT,
            env=environment(SMSGW_DATABASE_URL=url),
            stderr=subprocess.DEVNULL,
        )
        until(lambda: server.request("GET", "/readyz")[0] == 200, "the worker to be heard of")
        worker.terminate()
        assert worker.wait(30) == 0


def _added(name: str, url: str, **settings: str) -> str:
    """The address that `device add` tells to type into a phone, without its name and password."""
    answer = subprocess.run(
        [sys.executable, "-m", "smsgw", "device", "add", name, "--json"],
        cwd=ROOT,
        env=environment(SMSGW_DATABASE_URL=url, **settings),
        check=True,
        capture_output=True,
    )
    scheme, _, rest = json.loads(answer.stdout)["url"].partition("://")
    return f"{scheme}://{rest.partition('@')[2]}"


def test_commands_print_the_address_of_the_server_that_serves_this_database(
    database_url: str, tmp_path: Path
):
    with serving(tmp_path, database_url) as server:
        assert _added("a", database_url) == f"{server.url}/api/sms"
        server.stop()
        assert _added("b", database_url) == f"{server.url}/api/sms"
        assert _added("c", database_url, SMSGW_PORT="9000").endswith(":9000/api/sms")
        public = "https://sms.example.org"
        assert _added("d", database_url, SMSGW_PUBLIC_URL=public) == f"{public}/api/sms"


def test_init_prints_where_the_server_will_be_not_where_it_was(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/smsgw.db"
    with serving(tmp_path, url):
        answer = subprocess.run(
            [sys.executable, "-m", "smsgw", "init", "--json"],
            cwd=ROOT,
            env=environment(SMSGW_DATABASE_URL=url),
            check=True,
            capture_output=True,
        )
    assert ":8000/" in json.loads(answer.stdout)["docs"]


def test_sigterm_ends_all_processes_within_seconds(server: Server):
    children = _descendants(server.process.pid)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS
    assert not [pid for pid in children if _is_running(pid)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_it_too(server: Server, number: signal.Signals):
    server.process.send_signal(number)
    assert server.process.wait(30) == 0
    assert "Traceback" not in server.log


def test_killed_children_are_started_again(server: Server):
    for word in ("smsgw web", "smsgw worker"):
        (pid,) = _children(server.process.pid, word)
        os.kill(pid, signal.SIGKILL)
        until(
            lambda pid=pid, word=word: set(_children(server.process.pid, word)) - {pid},
            f"another {word}",
        )
    until(lambda: server.request("GET", "/healthz")[0] == 200, "the web server to be back")


def test_a_killed_gunicorn_worker_is_started_again(server: Server):
    (web,) = _children(server.process.pid, "smsgw web")
    workers = until(lambda: len(_children(web, "")) == 2 and _children(web, ""), "two workers")
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: len(pids := _children(web, "")) == 2 and workers[0] not in pids, "a new worker")
    assert server.request("GET", "/healthz")[0] == 200


def test_children_end_with_a_supervisor_that_was_killed(server: Server):
    children = _descendants(server.process.pid)
    server.process.kill()
    server.process.wait()
    until(lambda: not [pid for pid in children if _is_running(pid)], "the children to end")


def test_a_second_start_on_the_same_port_says_so_in_one_line(server: Server, tmp_path: Path):
    ended = _start(SMSGW_PORT=str(server.port), SMSGW_DATABASE_URL=f"sqlite:///{tmp_path}/2.db")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert f"port {server.port}" in ended.stderr
    assert "in use" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SMSGW_WORKERS": "many"}, "SMSGW_WORKERS"),
        ({"SMSGW_DATABASE_URL": "mysql://x/y"}, "SMSGW_DATABASE_URL"),
        ({"SMSGW_DATABASE_URL": "postgresql://me:hidden@127.0.0.1:1/x"}, "the database"),
    ],
)
def test_what_cannot_work_stops_the_start_with_one_line(settings: dict[str, str], words: str):
    ended = _start(SMSGW_PORT=str(free_port()), **settings)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert words in ended.stderr
    assert "hidden" not in ended.stderr


def test_no_secret_is_made_or_printed_for_a_new_database(tmp_path: Path):
    with serving(tmp_path, f"sqlite:///{tmp_path}/new.db") as running:
        assert running.request("GET", "/readyz")[0] in (200, 503)
        listed = _smsgw(tmp_path, "device", "list", "--json")
        assert listed.stdout.strip() == "[]"
        assert "live_" not in running.log


def test_a_start_on_an_empty_database_warns_in_one_line_and_on_a_used_one_does_not(
    settings: Settings, caplog: pytest.LogCaptureFixture
):
    assert preparation.prepare(settings) is None
    (record,) = [one for one in caplog.records if one.name == "smsgw.server"]
    assert "is empty, without a phone, a CRM or an operator" in record.message
    assert "check SMSGW_DATABASE_URL" in record.message
    with closing(Database(settings.database_url)) as database, database.transaction() as session:
        crms.add(session, "clinic", None, clock.now())
    caplog.clear()
    assert preparation.prepare(settings) is None
    assert [one for one in caplog.records if one.name == "smsgw.server"] == []


def test_a_start_without_the_databases_folder_says_so_in_one_line_and_makes_none(tmp_path: Path):
    folder = tmp_path / "not-mounted"
    ended = _start(SMSGW_PORT=str(free_port()), SMSGW_DATABASE_URL=f"sqlite:///{folder}/smsgw.db")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"no database at {folder}/smsgw.db" in line
    assert "smsgw init" in line
    assert not folder.exists()


def test_a_start_without_a_file_in_its_folder_makes_one_and_says_that_it_is_empty(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings = replace(settings, database_url=f"sqlite:///{tmp_path}/new.db")
    assert preparation.prepare(settings) is None
    assert "is empty, without a phone" in caplog.text
    with closing(Database(settings.database_url)) as database:
        assert database.has_tables()


def test_a_database_of_a_later_version_is_left_alone(database_url: str):
    _execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    ended = _start(SMSGW_PORT=str(free_port()), SMSGW_DATABASE_URL=database_url)
    assert ended.returncode == 1
    assert "newer" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda _served: None, [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]),
        (lambda _served: os.kill(os.getpid(), 9), [0.25, 0.5, 1, 1, 1, 1]),
    ],
    ids=["ended", "killed"],
)
def test_the_pause_before_a_start_grows_for_what_never_comes_up(work: Work, expected: list[float]):
    child = Child("web", work)
    pauses = []
    for _ in expected:
        before = time.monotonic()
        assert ended(child).start_at > before
        pauses.append(child.pause_seconds / 2)
    assert pauses == expected


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_has_served_starts_again_at_once_however_it_ended(is_killed: bool):
    def serve(served: int) -> None:
        os.write(served, b".")
        if is_killed:
            os.kill(os.getpid(), 9)

    child = Child("web", serve, pause_seconds=8)
    assert ended(child).start_at <= time.monotonic()
    assert child.pause_seconds == FIRST_PAUSE_SECONDS


def ended(child: Child) -> Child:
    """The same after one life, and nothing left of it."""
    child.start()
    child.process.join(60)
    child.note_end(child.process.exitcode)
    return child


def test_a_request_that_comes_while_no_process_serves_is_answered_by_the_next(server: Server):
    (web,) = _children(server.process.pid, "smsgw web")
    for pid in [web, *_children(web, "")]:
        os.kill(pid, signal.SIGKILL)
    assert server.request("GET", "/healthz")[0] == 200


def test_its_processes_may_have_as_many_descriptors_as_the_machine_allows(tmp_path: Path):
    soft = "import resource; _, hard = resource.getrlimit(7); resource.setrlimit(7, (512, hard));"
    program = f"{soft} import runpy; runpy.run_path('app.py', run_name='__main__')"
    command = [sys.executable, "-c", program]
    with serving(tmp_path, f"sqlite:///{tmp_path}/new.db", command) as running:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = str(min(hard, supervisor.MAX_DESCRIPTORS))
        for pid in [running.process.pid, *_descendants(running.process.pid)]:
            limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
            (line,) = [line for line in limits if line.startswith("Max open files")]
            assert line.split()[3] == wanted


def test_a_request_in_flight_is_answered_before_the_end(server: Server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        sock.sendall(b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "Handling signal: term" in server.log, "the end to begin")
        sock.sendall(b"\r\n{}  ")
        assert b"401" in sock.makefile("rb").readline()
    assert server.process.wait(30) == 0


def _start(**settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment(SMSGW_HOST="127.0.0.1", **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def _smsgw(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smsgw", *arguments],
        cwd=ROOT,
        env=environment(SMSGW_DATABASE_URL=f"sqlite:///{folder}/new.db"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def _execute(database_url: str, statement: str) -> None:
    database = Database(database_url)
    with database.transaction() as session:
        session.execute(sa.text(statement))
    database.close()


def _children(pid: int, word: str) -> list[int]:
    """The process's children whose command line has this word."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if word in _command_line(int(child))]


def _descendants(pid: int) -> list[int]:
    children = _children(pid, "")
    return children + [below for child in children for below in _descendants(child)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_an_application_that_is_made_before_a_fork_has_opened_no_database(
    settings: Settings, tmp_path: Path
):
    path = tmp_path / "unopened.db"
    app = factory.build_app(replace(settings, database_url=f"sqlite:///{path}"))
    assert EXTENSION not in app.extensions
    assert not list(tmp_path.glob("unopened*"))


@pytest.mark.parametrize("most", ["131072", "4096"])
def test_forked_processes_find_no_free_blocks_among_what_they_share(most: str):
    """It ends also where glibc maps large blocks elsewhere, as MALLOC_MMAP_THRESHOLD_ may say."""
    program = """
from smsgw.server import children
kept = [bytes(size % 4000 + 600) for size in range(0, 90_000, 9)][::2]
children.keep_memory_shared()
state = children._LIBC.mallinfo2()
print(state.free - state.at_end)
"""
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": most},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if most == "131072":
        assert int(found.stdout) < 2 * LARGE_BLOCK
