"""Calls the server's REST API as a CRM does, with only the standard library."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

TIMEOUT_SECONDS = 30


class Refused(Exception):
    """A call failed, and why; `status` is the answer's, 0 if there was none."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are errors: followed, they would carry the key anywhere and make a POST a GET."""

    def redirect_request(self, *args: Any) -> None:
        return None


class Api:
    def __init__(self, server: str, key: str) -> None:
        self.server = server.rstrip("/")
        self.key = key
        self.opener = urllib.request.build_opener(NoRedirect)

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, wanted: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Return the JSON object of the answer, which has at least the keys `wanted`. Raises `Refused`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server}/api/v1{path}", data, method=method)
        request.add_header("Authorization", f"Bearer {self.key}")
        request.add_header("Content-Type", "application/json")
        try:
            status, content = self.fetched(request)
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            raise Refused(f"{self.server} does not answer: {why}") from error
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {said(content)}", status)
        answer = json_object(content)
        if answer is None or not answer.keys() >= set(wanted):
            raise Refused(f"{self.server} answers {method} {path} as no smsgw server does")
        return answer

    def fetched(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with self.opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def json_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def said(content: bytes) -> str:
    """Return the server's message with its details, or its text if it has no message."""
    error = json_object(content)
    if error is None or "message" not in error:
        return content.decode("utf-8", "replace").strip()[:500]
    message, details = str(error["message"]), error.get("details")
    if all(text in message for text in texts(details)):
        return message
    return f"{message} {json.dumps(details)}"


def texts(details: Any) -> list[str]:
    if isinstance(details, dict):
        details = list(details.values())
    if isinstance(details, list):
        return [text for item in details for text in texts(item)]
    return [] if details is None else [str(details)]
