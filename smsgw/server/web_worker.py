"""Runs a gunicorn worker whose connections are served by a pool of threads that no slow client can hold."""

import os
import resource
import select
import time
from typing import Any

from gunicorn.workers.base import Worker

from .. import logs
from .connection_pool import ConnectionPool

CHECK_SECONDS = 1.0
STOP_STEP_SECONDS = 0.05
# Descriptors for anything but connections: the database, the log, bodies on the disk.
RESERVED_DESCRIPTORS = 256


class WebWorker(Worker):  # type: ignore[misc]
    """Serves until SIGTERM; then answers what has begun to arrive, within `graceful_timeout`."""

    def run(self) -> None:
        logs.write_in_thread()
        _keep_settings(self.cfg)
        self._pool = ConnectionPool(self.cfg, self.wsgi, self.cfg.threads, self._capacity())
        self._pool.listen(self.sockets)
        signals = select.poll()
        signals.register(self.PIPE[0], select.POLLIN)
        while self.alive:
            if signals.poll(1000 * CHECK_SECONDS):
                os.read(self.PIPE[0], 64)
            self.notify()
            self._pool.check()
            if self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                break
        self._finish()

    def _finish(self) -> None:
        self._pool.stop()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while len(self._pool) and time.monotonic() < deadline:
            time.sleep(STOP_STEP_SECONDS)
            self._pool.check()
        self._pool.close()
        for listener in self.sockets:
            listener.close()

    def _capacity(self) -> int:
        """Return how many connections this process may have, so that descriptors are left for everything else."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = max(descriptors - RESERVED_DESCRIPTORS, descriptors // 2)
        return min(int(self.cfg.worker_connections), spare)


def _keep_settings(cfg: Any) -> None:
    """Make the settings plain attributes: gunicorn asks for sixteen of them in each request, with two calls each."""
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})
