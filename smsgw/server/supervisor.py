"""Runs the web server and the worker of one machine, each started again when it ends."""

import gc
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

from .. import logs, program
from .. import settings as settings_module
from ..core.events import recording
from ..core.operations import first_start
from ..errors import GatewayError
from ..logs import redact
from ..settings import Settings, SettingsError
from ..store import migrations, outages
from ..store.db import Database
from . import address as server_address
from . import children as child_processes
from . import signals
from .children import Child

CHECK_SECONDS = 1.0
# Enough for all connections of a process; select(2), which could not take more than 1,024, is used nowhere.
MAX_DESCRIPTORS = 65536
_BACKLOG = 2048
_EMPTY = (
    "%s is empty, without a phone, a CRM or an operator: if that is a surprise, check SMSGW_DATABASE_URL;"
    " '%s' makes the first ones"
)

_LOG = logging.getLogger("smsgw.server")


class StartFailed(GatewayError):
    """The server cannot start; the message says why in one line."""

    code = "start_failed"


def main() -> int:
    """Serve with the settings of the environment. Returns the exit code, and prints one line where it is not 0."""
    gc.freeze()  # a faster exit, as in `__main__`
    try:
        run(settings_module.load(), ["web", "worker"])
    except (SettingsError, StartFailed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(settings: Settings, names: list[str]) -> None:
    """Run these processes (`web`, `worker`) until a signal to stop; raise `StartFailed` where it cannot begin."""
    logs.configure(settings.log_format, settings.log_level)
    for warning in settings_module.warnings():
        _LOG.warning("%s", warning)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.SUPERVISED)
    raise_descriptor_limit()
    listener = listen(settings.host, settings.port)
    prepare(settings)
    if "web" in names:
        _keep_secret_key(settings)
    with _metrics_folder() as folder:
        port = listener.getsockname()[1]
        os.environ.update(SMSGW_PORT=str(port), PROMETHEUS_MULTIPROC_DIR=folder)
        # Otherwise glibc gives each thread its own heap, which is of no use under the interpreter's lock.
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
        except (OSError, ValueError) as error:  # a limit that the system does not report
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
            # Raises where there is no file. Only a person makes a new database, because the right one may be away.
            migrations.current(database)
            migrations.upgrade(database)
            with database.transaction() as session:
                recording.raise_feed_base(session)
                if first_start.is_empty(session):
                    _LOG.warning(_EMPTY, redact(settings.database_url), program.line("init"))
    except outages.DatabaseError as error:
        raise StartFailed(f"the database cannot be used: {outages.reason(error)}") from None
    except migrations.NewerTables as error:
        raise StartFailed(str(error)) from None


def _keep_secret_key(settings: Settings) -> None:
    """Have the key for cookies made here, before several processes need it."""
    try:
        settings_module.secret_key(settings)
    except OSError as error:
        raise StartFailed(
            f"no key can be kept in {settings_module.DATA_FOLDER}: {error.strerror} (or set SMSGW_SECRET_KEY)"
        ) from None


def _child(name: str, listener: socket.socket) -> Child:
    if name == "worker":
        return Child(name, [sys.executable, "-m", "smsgw", "worker", "--served-descriptor"])
    descriptor = listener.fileno()
    return Child(
        name, [sys.executable, "-m", "smsgw.server.gunicorn_app", str(descriptor)], (descriptor,)
    )


@contextmanager
def _metrics_folder() -> Iterator[str]:
    """Make a folder in which all processes keep their counts for the metrics."""
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
                child.restart_if_ended()
            seconds = child_processes.seconds_to_next_start(children, CHECK_SECONDS)
            if signals.wait(signals.SUPERVISED, seconds) in signals.STOP:
                return
    finally:
        child_processes.stop(children)
