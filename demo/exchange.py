"""Reads whole HTTP requests and answers them, whatever their method and path."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from typing import NamedTuple

from demo.shapes import indented
from demo.terminal import say

Headers = list[tuple[str, str]]
LARGEST_PIECE = 64 << 20


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class CutOff(Exception):
    """The client left before its request was complete; the request is ignored."""


class Malformed(Exception):
    """The request is not HTTP; the text says what is wrong with it."""

    status = 400


class Exchange(BaseHTTPRequestHandler):
    """Passes every method to `serve`, which replies; answers what is not HTTP."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet

    @abstractmethod
    def serve(self, body: bytes) -> None: ...

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        self.path = self.requestline.split()[1]  # the base class makes //app /app
        setattr(self, f"do_{self.command}", self.handle_any)  # where it looks for the method
        return True

    def handle_any(self) -> None:
        try:
            body = read_body(self.headers, self.rfile)
        except CutOff as error:
            say(f"{self.client_address[0]}: {self.command} {self.path} was cut off: {error}")
            self.close_connection = True
        except Malformed as error:
            self.send_error(error.status, str(error))
        else:
            self.serve(body)

    def reply(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers or [("Date", self.date_time_string())]:
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP with JSON instead of the base class's page; nothing can follow it."""
        problem = message or HTTPStatus(code).phrase
        self.request_version = self.protocol_version  # unknown yet: without it no status is sent
        self.reply(Answer(code, [("Connection", "close")], indented({"err": problem})))
        say(f"{self.client_address[0]}: {code} {problem}")


def read_body(headers: Message, stream: BufferedIOBase) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return b"".join(chunks(stream))
    length = headers.get("Content-Length", "0")
    if not re.fullmatch("[0-9]{1,15}", length):
        raise Malformed("Content-Length is not a number")
    return exactly(stream, int(length))


def chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    while size := chunk_size(line(stream)):
        yield exactly(stream, size)
        if line(stream):
            raise Malformed("a chunk is longer than its size says")
    while line(stream):  # trailers
        continue


def chunk_size(text: bytes) -> int:
    size = text.partition(b";")[0].strip()
    if not re.fullmatch(b"[0-9a-fA-F]{1,15}", size):
        raise Malformed("a chunk's size is not a number")
    return int(size, 16)


def line(stream: BufferedIOBase) -> bytes:
    text = stream.readline(1 << 16)
    if not text.endswith(b"\n"):
        raise CutOff("a line is incomplete")
    return text.strip()


def exactly(stream: BufferedIOBase, size: int) -> bytes:
    if size > LARGEST_PIECE:
        raise Malformed(f"{size} bytes are too many")
    content = stream.read(size)
    if len(content) < size:
        raise CutOff(f"only {len(content)} of {size} bytes arrived")
    return content
