"""Forwards phones' requests to another server and shows both sides, with secrets masked."""

from __future__ import annotations

import base64
import binascii
import gzip
import http.client
import itertools
import re
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import SplitResult, quote

from demo.exchange import Answer, Headers
from demo.shapes import compact, indented, readable
from demo.terminal import safe, write

HOP_HEADERS = {"host", "connection", "keep-alive", "transfer-encoding", "content-length"}
# WWW-Authenticate tells no secret
SECRET_NAME = re.compile(
    "auth(?!enticate)|cookie|jwt|key|passw|secret|session|token", re.IGNORECASE
)
SCHEMES = ("basic", "bearer", "digest")
ANSWER_WAIT_SECONDS = 60


class Request(NamedTuple):
    phone: str
    method: str
    path: str
    headers: Headers
    body: bytes


class Relay:
    """Forwards requests to one server. Each request has a number, which is shown with its answer too."""

    def __init__(self, target: SplitResult) -> None:
        self.target = target
        self.numbers = itertools.count(1)

    def answer(self, request: Request) -> Answer:
        """Forward the phone's request to the server and return its answer, showing both.

        A server that does not answer becomes a 502 in the protocol's own error shape, whose text
        the app writes into its event log."""
        phone = f"#{next(self.numbers)} phone {request.phone}"
        about = f"{phone} -> {request.method} {request.path.partition('?')[0]}"
        show(about, request.headers, request.body)
        try:
            answer = fetched(self.target, request)
        except (OSError, http.client.HTTPException) as error:
            name = self.target.hostname
            problem = f"{name} does not answer: {error or type(error).__name__}"
            answer = Answer(502, [], compact({"error": True, "message": problem}))
        about = f"{phone} <- {answer.status}"
        if 300 <= answer.status < 400:
            about += ", a redirect! A phone repeats its POST as a GET and loses what it carried."
        show(about, answer.headers, plain(answer))
        return answer


def fetched(target: SplitResult, request: Request) -> Answer:
    secure = target.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(target.hostname or "", target.port, timeout=ANSWER_WAIT_SECONDS)
    query = target.query or request.path.partition("?")[2]
    url = (target.path or "/") + (f"?{query}" if query else "")
    url = quote(url, safe="".join(map(chr, range(33, 127))), encoding="latin-1")
    try:
        connection.request(
            request.method, url, request.body or None, dict(end_to_end(request.headers))
        )
        response = connection.getresponse()
        return Answer(response.status, end_to_end(response.getheaders()), response.read())
    finally:
        connection.close()


def end_to_end(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in HOP_HEADERS]


def plain(answer: Answer) -> bytes:
    encodings = [value for name, value in answer.headers if name.lower() == "content-encoding"]
    if encodings != ["gzip"]:
        return answer.body
    try:
        return gzip.decompress(answer.body)
    except (OSError, EOFError, zlib.error):
        return answer.body


def credentials(header: str) -> tuple[str, str]:
    """Return user and password; the scheme's name does not matter, and only the first colon separates."""
    user, _, password = login(header).partition(":")
    return user, password


def login(header: str) -> str:
    """Return the decoded Base64 after the scheme, or an empty text."""
    try:
        raw = base64.b64decode(header.partition(" ")[2], validate=True)
    except (binascii.Error, ValueError):
        return ""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def masked(name: str, value: str) -> str:
    """Return the part of a secret that helps to find a mistake: the scheme, and the user of user:password."""
    if not SECRET_NAME.search(name):
        return value
    scheme = value.partition(" ")[0]
    if scheme.lower() not in SCHEMES:
        return "***"
    user, colon, _ = login(value).partition(":")
    return f"{scheme} {user}:***" if scheme.lower() == "basic" and colon else f"{scheme} ***"


def show(about: str, headers: Headers, body: bytes) -> None:
    lines = [safe(f"{name}: {masked(name, value)}") for name, value in headers]
    lines += indented(readable(body)).decode().split("\n") if body else ["(no body)"]
    write("\n    ".join([f"{datetime.now():%H:%M:%S} {safe(about)}", *lines]))
