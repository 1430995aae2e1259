"""Logs and measures each request."""

import logging
import re
import time
from random import getrandbits
from typing import Any

from flask import Flask, Response, g
from werkzeug.routing import Rule

from .. import logs, metrics
from . import rates
from .context import current_request

_LOG = logging.getLogger("smsgw.access")
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROBES = ("ops.live", "ops.ready", "ops.show_metrics")


def register(app: Flask) -> None:
    """Give each request an id, a log line and a count in the metrics.

    The id is the request's own `X-Request-ID` if that is valid, otherwise a new one, and is returned in that header.
    """
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def note_idle_poll(door: str) -> None:
    """Count this request as a phone's poll that brought nothing and got nothing, instead of logging it."""
    metrics.count_idle_poll(door)
    g.is_idle_poll = True


def _begin() -> None:
    wanted = current_request().environ.get("HTTP_X_REQUEST_ID")
    given = g._get_current_object()
    given.began_at = time.monotonic()
    if wanted and _SAFE_ID.fullmatch(wanted):
        given.request_id = wanted
        logs.request_id.set(logs.redact(wanted))
    else:
        # It is no secret. The system's random numbers would release the interpreter's lock in each request.
        given.request_id = f"{getrandbits(128):032x}"
        logs.request_id.set(given.request_id)


def _end(answer: Response) -> Response:
    given, request, status = g._get_current_object(), current_request(), answer.status_code
    seconds = time.monotonic() - given.began_at
    rule = request.url_rule
    endpoint = rule.endpoint if rule else "none"
    metrics.count_request(endpoint, status, seconds)
    answer.headers.add("X-Request-ID", given.request_id)
    rate_state = given.get("rate_state")
    if rate_state is not None:
        rates.add_headers(answer, rate_state)
    level = logging.DEBUG if _is_quiet(given, endpoint, status) else logging.INFO
    if _LOG.isEnabledFor(level):
        # Only the path, because a query may contain a key.
        path = logs.shorten(request.path, logs.MOST_FIELD_CHARACTERS)
        text = f"{request.method} {path} {status}"
        _LOG.handle(_line(level, text, rule, {**_who(given), "ms": round(seconds * 1000, 1)}))
    return answer


def _is_quiet(given: Any, endpoint: str, status: int) -> bool:
    """Return whether the request is only counted: a probe, an idle poll, or a refusal of a slowed address.

    Idle polls would be nearly all of a fleet's lines, and nobody may be able to fill the log by guessing.
    """
    if status < 400:
        return endpoint in _PROBES or "is_idle_poll" in given
    return "is_slowed" in given


def _line(level: int, text: str, rule: Rule | None, fields: dict[str, Any]) -> logging.LogRecord:
    # Built here, because the logger would first determine the place in the code, which no line shows.
    line = logging.LogRecord(_LOG.name, level, __file__, 0, text, None, None)
    line.fields = fields
    # A path without variables is exactly the path of a route.
    line.is_clean = rule is not None and not rule.arguments
    return line


def _forget(_error: BaseException | None) -> None:
    logs.request_id.set(None)


def _who(given: Any) -> dict[str, str | None]:
    device, crm = given.get("device"), given.get("crm")
    return {
        "device_id": device.device_id if device else None,
        "crm_id": crm.id if crm else None,
        "operator": given.get("operator_name"),
    }
