"""The server under test: processes on one port, to kill and to start again."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil

from ..running import PATIENCE_SECONDS, ROOT, Server, environment, free_port, until
from .faults import Machine, preloaded


class ServerProcesses:
    """A supervisor with its children on a machine of its own; `settings` are environment variables."""

    def __init__(self, folder: Path, name: str, machine: Machine, settings: dict[str, str]) -> None:
        self.machine = machine
        self.port = free_port()
        self._log_file = folder / f"{name}.log"
        self._settings = {**settings, "SMSGW_HOST": "127.0.0.1", "SMSGW_PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self._log_file.read_text()

    def start(self, **more: str) -> None:
        """Start it and wait until it answers; `more` goes into its environment."""
        own = environment(**self._settings)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=ROOT,
                env={**own, **preloaded(self.machine.environment, more)},
                stdout=log,
                stderr=log,
            )
        self.wait()

    def wait(self) -> None:
        """Return when it answers."""
        until(self._answers, f"the server to answer: {self._log_file}")

    def stop(self) -> None:
        """SIGTERM; whatever is left then is killed."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_SECONDS)
            self.kill()

    def kill(self) -> None:
        """`kill -9` of the supervisor and everything below it."""
        assert self._process is not None
        below = self.children()
        self._process.kill()
        for child in below:
            _kill(child)
        self._process.wait()
        psutil.wait_procs(below, PATIENCE_SECONDS)

    def children(self, command: str = "") -> list[psutil.Process]:
        """The processes below the supervisor whose command has this in it."""
        assert self._process is not None
        found = []
        with suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    if command in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def kill_some(self, victims: list[psutil.Process]) -> None:
        """`kill -9` of some processes below the supervisor."""
        for victim in victims:
            _kill(victim)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended: {self.log[-2000:]}"
        with suppress(OSError, HTTPException):
            server = Server(self._process, self.port, self._log_file)
            return server.request("GET", "/healthz")[0] == 200
        return False


def _kill(process: psutil.Process) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
