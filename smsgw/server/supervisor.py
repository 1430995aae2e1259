"""Runs the web server and the worker of one machine, each started again when it ends.

It imports once what both have in common and forks them, so that they share its memory and start quickly. Before a fork
nothing is opened but the listening socket: the tables are brought up to date in a process that has ended by then.
"""

import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from .. import logs, program
from .. import settings as settings_module
from ..errors import GatewayError
from ..lazy_imports import load
from ..settings import Settings, SettingsError
from . import address as server_address
from . import children as child_processes
from . import signals
from .children import Child, Errand

CHECK_SECONDS = 1.0
# Enough for all connections of a process; select(2), which could not take more than 1,024, is used nowhere.
MAX_DESCRIPTORS = 65536
_BACKLOG = 2048
_HEAPS = 2
# What the web server and the worker have in common.
_SHARED = (
    "smsgw.server.preparation",
    "phonenumbers",
    "smsgw.metrics",
    "smsgw.core.accounts.idempotency",
    "smsgw.core.messages.unconfirmed",
    "smsgw.core.webhooks.endpoints",
)
_APP, _WEB, _WORKER = "smsgw.factory", "smsgw.server.gunicorn_app", "smsgw.delivery.worker"
_DRIVER = "sqlalchemy.dialects.postgresql.psycopg", "psycopg"

_LOG = logging.getLogger("smsgw.server")


class StartFailed(GatewayError):
    """The server cannot start; the message says why in one line."""

    code = "start_failed"


def main() -> int:
    """Serve with the settings of the environment. Returns the exit code, and prints one line where it is not 0."""
    try:
        run(settings_module.load())
    except (SettingsError, StartFailed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(settings: Settings, *, with_worker: bool = True) -> None:
    """Run the web server, and a worker, until a signal to stop; raise `StartFailed` where it cannot begin."""
    logs.configure(settings.log_format, settings.log_level)
    for warning in settings_module.warnings():
        _LOG.warning("%s", warning)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.SUPERVISED)
    raise_descriptor_limit()
    listener = listen(settings.host, settings.port)
    settings = replace(settings, port=listener.getsockname()[1])
    with _metrics_folder() as folder:
        # Read when the metrics are imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        if "MALLOC_ARENA_MAX" not in os.environ:
            child_processes.limit_heaps(_HEAPS)
        prepare(settings)
        _keep_secret_key(settings)
        server_address.note(settings, settings.port)
        _LOG.info("serving on http://%s:%s", settings.host, settings.port)
        app = load(_APP).build_app(settings)
        child_processes.keep_memory_shared()
        children = [Child("web", partial(_serve, settings, app, listener))]
        if with_worker:
            children.append(Child("worker", partial(_deliver, settings, listener)))
        _supervise(children)
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
    """Import what the processes need, and meanwhile bring the tables up to date; raise `StartFailed`.

    The web server is imported here too: killed, it serves again after 0.1 s instead of 0.9, and all processes together
    take 6 MiB less.
    """
    is_sqlite = settings.database_url.startswith("sqlite:")
    preparation = load(*_SHARED, *(() if is_sqlite else _DRIVER))
    errand = Errand(partial(preparation.prepare, settings))
    load(_WEB)
    fault = errand.wait()
    if fault is not None:
        raise StartFailed(fault)


def _keep_secret_key(settings: Settings) -> None:
    """Have the key for cookies made here, before several processes need it."""
    try:
        settings_module.secret_key(settings)
    except OSError as error:
        raise StartFailed(
            f"no key can be kept in {settings_module.DATA_FOLDER}: {error.strerror} (or set SMSGW_SECRET_KEY)"
        ) from None


def _serve(settings: Settings, app: Any, listener: socket.socket, served: int) -> None:
    load(_WEB).serve(settings, app, listener.fileno(), served)


def _deliver(settings: Settings, listener: socket.socket, served: int) -> None:
    listener.close()
    load(_WORKER).run(settings, lambda: program.tell_served(served))


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
