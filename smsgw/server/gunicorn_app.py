"""Serves with gunicorn on an open socket."""

import gc
import logging
import os
import select
import signal
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from .. import logs, metrics, program
from ..factory import open_services
from ..live import upgrade
from ..settings import Settings

_LOG = logging.getLogger("smsgw.web")

GRACEFUL_SECONDS = 8


class WebServer(BaseApplication):  # type: ignore[misc]
    """The gunicorn application: several processes with several threads each."""

    def __init__(
        self,
        settings: Settings,
        app: Any,
        descriptor: int,
        served_descriptor: int | None = None,
    ) -> None:
        self._settings = settings
        self._app = app
        self._descriptor = descriptor
        self._served_descriptor = served_descriptor
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._config().items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        open_services(self._app, self._settings)
        program.tell_served(self._served_descriptor)
        return self._app

    def _config(self) -> dict[str, Any]:
        return {
            "bind": f"fd://{self._descriptor}",
            "worker_class": _worker_class(),
            "workers": self._settings.workers,
            "proc_name": "smsgw web",
            "threads": self._settings.threads,
            "worker_connections": 10000,
            # Phones poll each minute: an idle limit near that would meet their next poll, which they then repeat.
            "keepalive": 10,
            "timeout": 30,
            "graceful_timeout": GRACEFUL_SECONDS,
            # A recycled process would drop the sockets it holds.
            "max_requests": 0,
            # Otherwise each instance of the same user would take over the path of the one before.
            "control_socket_disable": True,
            # SMSGW_TRUSTED_PROXIES says which proxies are believed about the caller's address.
            "forwarded_allow_ips": "",
            "limit_request_line": 8190,
            "logger_class": WebLogger,
            "child_exit": _forget,
            "post_worker_init": _settle_in,
            "worker_exit": _let_sockets_go,
        }


class WebLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's log lines where ours go. Requests are logged by `http.access`."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True


def serve(
    settings: Settings, app: Any, descriptor: int, served_descriptor: int | None = None
) -> None:
    """Serve an app of `build_app` on this socket until SIGTERM; write to `served_descriptor` once a process serves."""
    logs.configure(settings.log_format, settings.log_level)
    WebServer(settings, app, descriptor, served_descriptor).run()


def _worker_class() -> str:
    """Return the name of our worker class, or of gunicorn's where the system has no epoll."""
    if hasattr(select, "epoll") and hasattr(os, "eventfd"):
        return f"{__package__}.web_worker.WebWorker"
    _LOG.warning(
        "this system has no epoll: gunicorn's threads serve instead of ours, and slow clients can keep them busy"
    )
    return "gthread"


def _settle_in(worker: Any) -> None:
    """Exempt what is loaded from garbage collection, which would halt all threads for a tenth of a second."""
    gc.collect()
    gc.freeze()
    _drop_sockets_at_stop(worker)


def _drop_sockets_at_stop(worker: Any) -> None:
    """Drop the WebSockets as soon as the process receives the signal to stop, not after its last request."""
    hub = worker.wsgi.extensions[upgrade.EXTENSION]
    stop: Any = signal.getsignal(signal.SIGTERM)

    def part(number: int, frame: object) -> None:
        hub.stop()
        stop(number, frame)

    signal.signal(signal.SIGTERM, part)


def _let_sockets_go(_server: object, worker: Any) -> None:
    if worker.wsgi is not None:
        worker.wsgi.extensions[upgrade.EXTENSION].close()


def _forget(_server: object, worker: Any) -> None:
    metrics.forget_process(worker.pid)
