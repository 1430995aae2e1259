"""Passes one phone request on to another server and shows both sides, passwords masked."""

from __future__ import annotations

import base64
import binascii
import gzip
import http.client
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import SplitResult

from demo.shapes import compact, indented, readable

Headers = list[tuple[str, str]]
HOP_HEADERS = {"host", "connection", "keep-alive", "transfer-encoding", "content-length"}
ANSWER_WAIT_SECONDS = 60


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


def relay(target: SplitResult, method: str, path: str, headers: Headers, body: bytes) -> Answer:
    """Takes the phone's request to `target` and brings that server's answer, showing both.

    A server that does not answer becomes a 502 in the protocol's own error shape, whose text the
    app writes into its event log."""
    say(f"phone -> {method} {path.partition('?')[0]}")
    show([(name, masked(name, value)) for name, value in headers], body)
    try:
        answer = fetched(target, method, path, headers, body)
    except (OSError, http.client.HTTPException) as error:
        problem = f"{target.hostname} does not answer: {error or type(error).__name__}"
        answer = Answer(502, [], compact({"error": True, "message": problem}))
    say(f"phone <- {answer.status}")
    show(answer.headers, plain(answer))
    if 300 <= answer.status < 400:
        say("  A redirect! A phone repeats its POST as a GET then, and loses what it carried.")
    return answer


def fetched(target: SplitResult, method: str, path: str, headers: Headers, body: bytes) -> Answer:
    secure = target.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(target.hostname or "", target.port, timeout=ANSWER_WAIT_SECONDS)
    query = target.query or path.partition("?")[2]
    url = (target.path or "/") + (f"?{query}" if query else "")
    try:
        connection.request(method, url, body or None, dict(end_to_end(headers)))
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
    """User and password; the scheme's name does not matter, only the first colon separates."""
    try:
        raw = base64.b64decode(header.partition(" ")[2], validate=True)
    except (binascii.Error, ValueError):
        return "", ""
    try:
        user, _, password = raw.decode().partition(":")
    except UnicodeDecodeError:
        user, _, password = raw.decode("latin-1").partition(":")
    return user, password


def masked(name: str, value: str) -> str:
    if name.lower() != "authorization":
        return value
    scheme = value.partition(" ")[0]
    return f"{scheme} {credentials(value)[0]}:***" if scheme.lower() == "basic" else f"{scheme} ***"


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


def show(headers: Headers, body: bytes) -> None:
    lines = [f"{name}: {value}" for name, value in headers]
    lines += (indented(readable(body)).decode() if body else "(no body)").splitlines()
    print("\n".join(f"    {line}" for line in lines), flush=True)
