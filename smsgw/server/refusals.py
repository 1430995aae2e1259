"""Refuses requests that never reach the application, with the error body that all endpoints use."""

import json
from dataclasses import dataclass

from gunicorn import SERVER, util
from gunicorn.http import errors

_STATUS: dict[type[Exception], tuple[int, str]] = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
}
_BAD_REQUEST = (400, "Bad Request")
_MAX_TEXT = 200

# What gunicorn's parser raises for a request that breaks the rules.
MALFORMED = (errors.ParseException, errors.NoMoreData)


@dataclass(frozen=True)
class Refusal(Exception):
    """A request that is answered without the application; the connection closes after it."""

    status: int
    reason: str
    message: str

    def answer(self) -> bytes:
        """Return the whole answer, ready to be sent."""
        code = self.reason.lower().replace(" ", "_")
        content = {"error": True, "code": code, "message": self.message, "details": {}}
        body = json.dumps(content).encode()
        head = (
            f"HTTP/1.1 {self.status} {self.reason}\r\nServer: {SERVER}\r\nDate: {util.http_date()}\r\n"
            f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body


def malformed(error: Exception) -> Refusal:
    """Return the refusal of a request that gunicorn's parser rejects."""
    status, reason = next(
        (found for kind, found in _STATUS.items() if isinstance(error, kind)), _BAD_REQUEST
    )
    return Refusal(status, reason, str(error)[:_MAX_TEXT])


def head_too_large() -> Refusal:
    """Return the refusal of a head above our own limit."""
    return Refusal(*_STATUS[errors.LimitRequestHeaders], "the head of the request is too large")


def too_slow() -> Refusal:
    """Return the refusal of a request that did not arrive in time."""
    return Refusal(408, "Request Timeout", "the request did not arrive in time")


def ended_early() -> Refusal:
    """Return the refusal of a body that ended too early."""
    return Refusal(*_BAD_REQUEST, "the body ended early")


def failed() -> Refusal:
    """Return the answer to a request on which the application itself failed."""
    return Refusal(500, "Internal Server Error", "something went wrong on the server")


def no_room() -> Refusal:
    """Return the refusal of a body for which there is no room."""
    return Refusal(503, "Service Unavailable", "the server has no room for this body now")
