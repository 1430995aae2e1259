"""One log line and one measurement for each request."""

import logging
import re
import time
from secrets import token_hex
from typing import Any

from flask import Flask, Response, g, request

from .. import logs, metrics

_LOG = logging.getLogger("smsgw.access")
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROBES = ("ops.live", "ops.ready", "ops.show_metrics")


def register(app: Flask) -> None:
    """Gives each request an id, a log line and its place in the metrics.

    The id is the caller's own `X-Request-ID` where it has one, and goes back in that header.
    """
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    wanted = request.headers.get("X-Request-ID")
    given = g._get_current_object()
    given.began_at = time.monotonic()
    given.request_id = wanted if wanted and _SAFE_ID.fullmatch(wanted) else token_hex(16)
    logs.request_id.set(given.request_id)


def _end(answer: Response) -> Response:
    given = g._get_current_object()
    seconds = time.monotonic() - given.began_at
    endpoint = request.endpoint or "none"
    metrics.count_request(endpoint, answer.status_code, seconds)
    answer.headers["X-Request-ID"] = given.request_id
    level = logging.DEBUG if endpoint in _PROBES and answer.status_code < 400 else logging.INFO
    # The path alone: a query may carry a key.
    _LOG.log(
        level,
        "%s %s %s",
        request.method,
        request.path,
        answer.status_code,
        extra={"fields": {**_who(given), "ms": round(seconds * 1000, 1)}},
    )
    return answer


def _forget(_error: BaseException | None) -> None:
    logs.request_id.set(None)


def _who(given: Any) -> dict[str, str | None]:
    device, crm = given.get("device"), given.get("crm")
    return {
        "device_id": device.device_id if device else None,
        "crm_id": crm.id if crm else None,
        "operator": given.get("operator_name"),
    }
