"""Gathers the findings of `doctor` for a page: those that change seldom are kept for a minute."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from flask import current_app

from ..core.operations import doctor, health
from ..core.operations.backlog import Backlog
from ..core.operations.finding import Finding
from ..http.context import services
from ..settings import warnings
from ..store.db import Session
from ..store.models import Device
from . import certificate_watch, refused_logins

EXTENSION = "smsgw.findings"
KEPT_SECONDS = 60.0
# Whoever puts something right sees soon that it is.
KEPT_SECONDS_IF_WRONG = 5.0
ORDER = {"wrong": 0, "warning": 1, "ok": 2}
_WORKER = "worker"
_NEEDED_BY_WORKER = ("disk", "database", "migrations")


class _KeptFindings(NamedTuple):
    until: float
    findings: list[Finding]


def of_everything(
    session: Session, devices: Sequence[Device], queue: Backlog, now: datetime
) -> list[Finding]:
    """Return all findings: wrong ones first, those of the server before its work, and warnings the other way round."""
    settings = services().settings
    server = [*_of_server(session, now), *certificate_watch.findings()]
    # A worker that can write nothing looks like one that does not run.
    if not any(one.check in _NEEDED_BY_WORKER and one.state == "wrong" for one in server):
        server.append(health.worker(services().database, now))
    work = [
        *refused_logins.findings(devices, now),
        *doctor.of_work(session, settings, now, devices),
        *doctor.of_queue(session, settings, now, devices, queue),
    ]
    wrong = [one for one in (*server, *work) if one.state == "wrong"]
    others = [one for one in (*work, *server) if one.state != "wrong"]
    return [*wrong, *sorted(others, key=lambda finding: ORDER[finding.state])]


def _of_server(session: Session, now: datetime) -> list[Finding]:
    kept: _KeptFindings | None = current_app.extensions.get(EXTENSION)
    if kept is None or kept.until < time.monotonic():
        database, settings = services().database, services().settings
        basic = [one for one in health.examine(database, now) if one.check != _WORKER]
        found = [*basic, *doctor.of_server(session, settings, now), *_unknown_settings()]
        is_wrong = any(one.state == "wrong" for one in found)
        seconds = KEPT_SECONDS_IF_WRONG if is_wrong else KEPT_SECONDS
        kept = _KeptFindings(time.monotonic() + seconds, found)
        current_app.extensions[EXTENSION] = kept
    return kept.findings


def _unknown_settings() -> list[Finding]:
    advice = "correct the name where the settings are, or take it out, and start the server again"
    return [Finding("settings", "warning", text, advice) for text in warnings()]
