"""Builds answers and the error body, with the status code of each error."""

import json
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from ..errors import (
    BadRequest,
    Conflict,
    Forbidden,
    GatewayError,
    Invalid,
    NotFound,
    TooMany,
    Unauthorized,
)
from ..store import outages

# Builds a protocol's error body from the status, code, message and details.
Dialect = Callable[[int, str, str, dict[str, Any]], dict[str, Any]]

MOST_DETAILS = 1000
MOST_DETAIL_BYTES = 64 * 1024
MOST_MESSAGE_CHARACTERS = 1000

RETRY_AFTER_SECONDS = 5
_NOT_TWICE = "(with a reference or an Idempotency-Key, nothing is done twice)"
_UNAVAILABLE = f"the database is unavailable; try again in a few seconds {_NOT_TWICE}"
_FULL = (
    "the database can store nothing until an operator of this server has acted, and nothing was stored; "
    f"try again later {_NOT_TWICE}"
)
_DIALECTS = "smsgw.dialects"
_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_STATUS_CODES: dict[type[GatewayError], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    TooMany: 429,
}


class JsonAnswer(Response):
    """A complete answer, sent as it is: its length is known, its headers are final, and nothing needs closing.

    Werkzeug finds all of this out for each answer, which takes as long as matching the URL.
    """

    def __init__(self, text: str | bytes, status: int = 200) -> None:
        body = text.encode() if isinstance(text, str) else text
        self.headers = Headers()
        self.headers.add("Content-Type", "application/json")
        self.headers.add("Content-Length", str(len(body)))
        self.status = status  # a number is found in a table
        self.direct_passthrough = False
        self.response = [body]
        self._on_close = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.response


def status_code(error: GatewayError) -> int:
    """Return the HTTP status code of the error."""
    return next(code for kind, code in _STATUS_CODES.items() if isinstance(error, kind))


def answer(body: dict[str, Any], status: int = 200, location: str | None = None) -> Response:
    """Return a JSON answer with the keys in this order; `location` is the URL of a new object, in ASCII."""
    made = json_answer(_WRITER.encode(body), status)
    if location is not None:
        made.headers["Location"] = location
    return made


def json_answer(text: str | bytes, status: int = 200) -> Response:
    """Return an answer whose text is already JSON."""
    return JsonAnswer(text, status)


def error_answer(
    status: int, code: str, message: str, details: dict[str, Any] | None = None
) -> Response:
    """Return an error in the format of the caller's protocol, as registered with `use_dialect`."""
    write = _dialect() or _rest_body
    message, details = message[:MOST_MESSAGE_CHARACTERS], bounded(details or {})
    # ASCII, so that a lone surrogate from the request can be quoted.
    made = json_answer(json.dumps(write(status, code, message, details)), status)
    if status == 401:
        made.headers["WWW-Authenticate"] = 'Basic realm="smsgw", charset="UTF-8"'
    return made


def bounded(details: dict[str, Any]) -> dict[str, Any]:
    """Return the details; if there are too many, return the first ones with `"truncated": true`."""
    kept = _Kept()
    found: dict[str, Any] = kept.copy(details)
    return {**found, "truncated": True} if kept.is_full else found


class _Kept:
    """Copies the details of an error until a limit is reached."""

    def __init__(self) -> None:
        self._left = MOST_DETAILS
        self._bytes_left = MOST_DETAIL_BYTES

    @property
    def is_full(self) -> bool:
        return self._left < 0 or self._bytes_left < 0

    def copy(self, value: Any) -> Any:
        if isinstance(value, dict):
            pairs = takewhile(self._fits, value.items())
            return {str(key)[:MOST_MESSAGE_CHARACTERS]: self.copy(item) for key, item in pairs}
        if isinstance(value, list | tuple):
            return [self.copy(item) for item in takewhile(self._fits, value)]
        return value[:MOST_MESSAGE_CHARACTERS] if isinstance(value, str) else value

    def _fits(self, item: Any) -> bool:
        """Count a list's item, or an object's key and value; objects and lists themselves do not count."""
        parts = item if isinstance(item, tuple) else (item,)
        size = sum(len(part) if isinstance(part, str) else 8 for part in parts)
        self._bytes_left -= min(size, MOST_MESSAGE_CHARACTERS)
        self._left -= not isinstance(parts[-1], dict | list | tuple)
        return not self.is_full


def use_dialect(app: Flask, path: str, dialect: Dialect) -> None:
    """Use the protocol's format for all errors below this path."""
    app.extensions.setdefault(_DIALECTS, {})[path] = dialect


def register(app: Flask) -> None:
    """Make the app answer all errors with an error body."""
    app.register_error_handler(GatewayError, _on_gateway_error)
    app.register_error_handler(HTTPException, _on_http_exception)
    app.register_error_handler(Exception, _on_exception)


def first_fault(details: Any, path: str = "") -> str:
    """Return the first fault in `{"field": {"0": ["text"]}}` as one line: `field.0: text`."""
    if isinstance(details, dict) and details:
        key, rest = next(iter(details.items()))
        return first_fault(rest, f"{path}.{key}" if path else str(key))
    if isinstance(details, list) and details:
        return first_fault(details[0], path)
    return f"{path}: {details}" if path else str(details)


def _rest_body(_status: int, code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"error": True, "code": code, "message": message, "details": details}


def _dialect() -> Dialect | None:
    dialects: dict[str, Dialect] = current_app.extensions.get(_DIALECTS, {})
    for path, dialect in dialects.items():
        if f"{request.path}/".startswith(f"{path}/"):
            return dialect
    return None


def _on_gateway_error(error: GatewayError) -> Response:
    made = error_answer(status_code(error), error.code, error.message, error.details)
    if isinstance(error, TooMany):
        made.headers.update({"Retry-After": str(error.retry_after_seconds)})
    return made


def _on_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    code = error.name.lower().replace(" ", "_")
    # flask-smorest puts the invalid fields into `data`.
    data: dict[str, Any] = getattr(error, "data", None) or {}
    messages = data.get("messages") or {}
    details = messages.get("json", messages) if isinstance(messages, dict) else {}
    answer = error_answer(status, code, _text(error, details), details)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            answer.headers[name] = value
    return answer


def _text(error: HTTPException, details: dict[str, Any]) -> str:
    if details:
        return f"{error.name}: {first_fault(details)}"
    return error.description or error.name


def _on_exception(error: Exception) -> Response:
    if outages.is_outage(error):
        outages.log.note(error)
        text = _FULL if outages.is_full(error) else _UNAVAILABLE
        made = error_answer(503, "database_unavailable", text)
        made.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return made
    current_app.logger.error(
        "%s %s failed: %s", request.method, request.path, type(error).__name__, exc_info=error
    )
    return error_answer(
        500, "internal_error", "something went wrong on the server; it has been logged"
    )
