"""The supervised start of one machine: the web server and the worker, each started again when it dies."""

import ctypes
import gc
import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .. import logs
from .. import settings as settings_module
from ..core.events import recording
from ..errors import GatewayError
from ..settings import Settings, SettingsError
from ..store import migrations, outages
from ..store.db import Database
from . import address as server_address
from . import signals

STOP_SECONDS = 12
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0
# For what somebody else killed before it came up: its next start may well succeed.
LONGEST_PAUSE_AFTER_KILL_SECONDS = 1.0
CHECK_SECONDS = 1.0
# Enough for all connections of a process; select(2), which could not take more than 1,024, is used nowhere.
MAX_DESCRIPTORS = 65536
_BACKLOG = 2048
# Where `-m smsgw` finds this very package, in a checkout and where pip installed it.
_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_SIGNALS = _STOP_SIGNALS | {signal.SIGCHLD}

_LIBC = ctypes.CDLL(None)
_LOG = logging.getLogger("smsgw.server")


class StartFailed(GatewayError):
    """The server cannot start; the message says why in one line."""

    code = "start_failed"


@dataclass
class Child:
    """A process that is kept running: `command` and the descriptor to write to once it serves.

    It is started again at once if it has served, and otherwise after `pause_seconds`, which grow.
    """

    name: str
    command: list[str]
    descriptors: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    pause_seconds: float = field(default=FIRST_PAUSE_SECONDS)
    served_reader: int = -1

    def start(self) -> None:
        """Start it, with a pipe on which it tells that it serves."""
        self.served_reader, writer = os.pipe()
        os.set_blocking(self.served_reader, False)
        self.process = subprocess.Popen(
            [*self.command, str(writer)],
            cwd=_PACKAGE_FOLDER,
            pass_fds=(*self.descriptors, writer),
            process_group=0,  # Ctrl-C is for us; we tell the children
            preexec_fn=_as_child,
        )
        os.close(writer)

    def has_served(self) -> bool:
        """Return whether the process that has ended had reported that it served; call it once."""
        try:
            return bool(os.read(self.served_reader, 1))
        except BlockingIOError:  # a process below it lives on
            return False
        finally:
            os.close(self.served_reader)


def main() -> int:
    """Serves with the settings of the environment; returns the exit code, after one line where it is not 0."""
    gc.freeze()  # the end comes sooner, as in `__main__`
    try:
        run(settings_module.load(), ["web", "worker"])
    except (SettingsError, StartFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(settings: Settings, names: list[str]) -> None:
    """Runs these processes (`web`, `worker`) until a signal to stop; raises `StartFailed` when it cannot begin."""
    logs.configure(settings.log_format, settings.log_level)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    raise_descriptor_limit()
    listener = listen(settings.host, settings.port)
    prepare(settings)
    with _counting_together() as folder:
        port = listener.getsockname()[1]
        os.environ.update(SMSGW_PORT=str(port), PROMETHEUS_MULTIPROC_DIR=folder)
        # Each thread would else get a heap of its own (glibc), which the interpreter's lock leaves without a use.
        os.environ.setdefault("MALLOC_ARENA_MAX", "2")
        if "web" in names:
            server_address.note(settings, port)
        _LOG.info("serving on http://%s:%s", settings.host, port)
        _supervise([_child(name, listener) for name in names])
    _LOG.info("stopped")


def raise_descriptor_limit() -> None:
    """Allow this process and its children as many descriptors as the machine lets them have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # a limit of the system that it does not tell
            _LOG.warning("each process may have %s open files only: %s", soft, error)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; connections wait in it while the web server starts again."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise StartFailed(
            f"cannot listen on {host} port {port}: {error.strerror}"
            " (SMSGW_PORT or PORT= chooses another port)"
        ) from None
    return listener


def prepare(settings: Settings) -> None:
    """Bring the tables up to date, and the event feed's positions above all stored ones. Makes no secrets."""
    try:
        with closing(Database(settings.database_url)) as database:
            migrations.upgrade(database)
            with database.transaction() as session:
                recording.raise_feed_base(session)
    except outages.DatabaseError as error:
        raise StartFailed(f"the database cannot be used: {outages.reason(error)}") from None
    except migrations.NewerTables as error:
        raise StartFailed(str(error)) from None


def _child(name: str, listener: socket.socket) -> Child:
    if name == "worker":
        return Child(name, [sys.executable, "-m", "smsgw", "worker", "--served-descriptor"])
    descriptor = listener.fileno()
    return Child(
        name, [sys.executable, "-m", "smsgw.server.gunicorn_app", str(descriptor)], (descriptor,)
    )


@contextmanager
def _counting_together() -> Iterator[str]:
    """Make a folder in which all processes count for the metrics."""
    folder = tempfile.mkdtemp(prefix="smsgw-metrics-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _supervise(children: list[Child]) -> None:
    """Start the children, restart those that end, and stop them all at the first signal to stop."""
    try:
        while True:
            for child in children:
                _restart_if_ended(child)
            if signals.wait(_SIGNALS, _seconds_to_next_start(children)) in _STOP_SIGNALS:
                return
    finally:
        _stop(children)


def _restart_if_ended(child: Child) -> None:
    if child.process is not None and child.process.poll() is not None:
        _note_death(child, child.process.returncode)
        child.process = None
    if child.process is None and time.monotonic() >= child.start_at:
        child.start()


def _seconds_to_next_start(children: list[Child]) -> float:
    now = time.monotonic()
    starts = [child.start_at - now for child in children if child.process is None]
    return max(0.0, min([CHECK_SECONDS, *starts]))


def _note_death(child: Child, code: int) -> None:
    """Decide when it starts again: at once, unless it never came up."""
    if child.has_served():
        child.pause_seconds = FIRST_PAUSE_SECONDS
        child.start_at = 0.0
        _LOG.error("the %s process ended with code %s; it starts again", child.name, code)
        return
    longest = LONGEST_PAUSE_SECONDS
    if code == -signal.SIGKILL:
        longest = LONGEST_PAUSE_AFTER_KILL_SECONDS
    child.pause_seconds = min(child.pause_seconds, longest)
    child.start_at = time.monotonic() + child.pause_seconds
    _LOG.error(
        "the %s process ended with code %s before it served; it starts again in %.2f s",
        child.name,
        code,
        child.pause_seconds,
    )
    child.pause_seconds = 2 * child.pause_seconds


def _as_child() -> None:
    """Prepare a new child before its program: unblock its signals, and end it with its parent."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if sys.platform == "linux":
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _stop(children: list[Child]) -> None:
    processes = [child.process for child in children if child.process is not None]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
