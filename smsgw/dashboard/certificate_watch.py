"""Keeps the finding about the certificate at the public URL, which a thread examines beside the requests."""

import time
from threading import Lock, Thread

from flask import current_app

from .. import clock
from ..core.operations import certificates
from ..core.operations.finding import Finding
from ..http.context import services
from ..settings import Settings

EXTENSION = "smsgw.certificate"
EACH_SECONDS = 600.0
EACH_SECONDS_IF_WRONG = 30.0


class CertificateWatch:
    """The last finding about the certificate, if there is one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._findings: list[Finding] = []
        self._due = 0.0

    def latest(self, settings: Settings) -> list[Finding]:
        """Return the last finding, and start another examination if it is old."""
        with self._lock:
            is_due = time.monotonic() >= self._due
            if is_due:
                self._due = time.monotonic() + EACH_SECONDS
        if is_due and settings.public_url is not None:
            Thread(target=self._examine, args=(settings,), daemon=True).start()
        return self._findings

    def _examine(self, settings: Settings) -> None:
        self._findings = list(certificates.findings(settings, clock.now()))
        if any(one.state == "wrong" for one in self._findings):
            self._due = time.monotonic() + EACH_SECONDS_IF_WRONG


def findings() -> list[Finding]:
    """Return the finding about the certificate, if there is one, without waiting."""
    watch: CertificateWatch = current_app.extensions[EXTENSION]
    return watch.latest(services().settings)
