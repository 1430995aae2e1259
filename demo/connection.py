"""Holds one connection of a phone: sends pieces, and reads an answer as Android's stack reads it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

PIECES = 8
PIECE_BYTES = 1 << 16

Sleep = Callable[[float], Awaitable[None]]


class BadReply(Exception):
    """The answer is not a complete HTTP answer."""


class NoAnswer(ConnectionError):
    """The connection ended before the first byte of an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    keeps: bool

    @property
    def content(self) -> bytes:
        if self.headers.get("content-encoding", "").lower() != "gzip":
            return self.body
        try:
            return gzip.decompress(self.body)
        except (OSError, EOFError, zlib.error) as error:
            raise BadReply(f"bad gzip: {error}") from error


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._buffer = b""

    async def send(self, data: bytes, pause: float, sleep: Sleep) -> None:
        step = len(data) if not pause else -(-len(data) // PIECES)
        for start in range(0, len(data), step):
            self.writer.write(data[start : start + step])
            await self.writer.drain()
            if pause:
                await sleep(pause)

    async def read(self, pause: float, sleep: Sleep) -> Reply:
        version, status = status_line(await self.first_line())
        headers = await self.header_lines()
        while 100 <= status < 200:
            version, status = status_line(await self.line())
            headers = await self.header_lines()
        if pause:
            await sleep(pause)
        body, framed = await self.body(status, headers)
        keeps = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return Reply(status, headers, body, keeps and framed)

    async def first_line(self) -> bytes:
        try:
            return await self.line()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if getattr(error, "partial", b""):
                raise
            raise NoAnswer("closed without an answer") from error

    async def line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            await self._more()
        return self._take(end + 1).strip()

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        return self._take(size)

    async def _more(self) -> None:
        piece = await self.reader.read(PIECE_BYTES)
        if not piece:
            raise asyncio.IncompleteReadError(self._buffer, None)
        self._buffer += piece

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    async def header_lines(self) -> dict[str, str]:
        headers = {}
        while line := await self.line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    async def body(self, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        """Return the body, and whether something other than the end of the connection marked its end."""
        if status in (204, 304):
            return b"", True
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await self.chunks(), True
        if headers.get("content-length", "").isdecimal():
            return await self.exactly(int(headers["content-length"])), True
        return self._take(len(self._buffer)) + await self.reader.read(), False

    async def chunks(self) -> bytes:
        parts = []
        while size := int((await self.line()).partition(b";")[0], 16):
            parts.append(await self.exactly(size))
            await self.line()
        await self.header_lines()
        return b"".join(parts)


def status_line(line: bytes) -> tuple[str, int]:
    version, _, rest = line.decode("latin-1").partition(" ")
    if not version.startswith("HTTP/") or not rest[:3].isdecimal():
        raise BadReply("no HTTP answer")
    return version, int(rest[:3])
