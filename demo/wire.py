"""Simulates the phone's HTTP stack: kept connections, redirects, and connections that fail."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import lru_cache

from demo.connection import BadReply, Connection, NoAnswer, Reply, Sleep
from demo.target import Target, next_target, request_bytes

MAX_REDIRECTS = 20


class Fault(Enum):
    """How a bad connection treats one request."""

    NONE = "arrives"
    UNREACHABLE = "no connection"
    CUT = "cut while sending"
    UNREAD = "cut before the answer"
    LOST = "answer lost"


Finish = Callable[[], Awaitable[Reply]]


class Wire:
    """The connections of one phone. `pause` is what a slow one waits after each piece, seconds;
    `source` the address they come from."""

    def __init__(
        self, pause: float = 0.0, sleep: Sleep = asyncio.sleep, source: str | None = None
    ) -> None:
        self.pause = pause
        self.sleep = sleep
        self._source = (source, 0) if source else None
        self._idle: list[tuple[tuple[str, str, int], Connection]] = []

    async def get(self, target: Target, version: str) -> Reply:
        return await self._follow(target, None, version, False, Fault.NONE)

    async def post(
        self, target: Target, body: bytes, version: str, fault: Fault = Fault.NONE
    ) -> Reply:
        return await self._follow(target, body, version, True, fault)

    async def begin_post(self, target: Target, body: bytes, version: str) -> Finish:
        """Sends the head and a byte of the body; what it returns sends the rest and gives the answer."""
        request = request_bytes(target, body, version, True)
        here = request.index(b"\r\n\r\n") + 5
        connection = await self._open(target)
        await connection.send(request[:here], 0, self.sleep)

        async def finish() -> Reply:
            try:
                await connection.send(request[here:], 0, self.sleep)
                return await connection.read(0, self.sleep)
            finally:
                connection.writer.close()

        return finish

    async def _follow(
        self, target: Target, body: bytes | None, version: str, accepts: bool, fault: Fault
    ) -> Reply:
        for _ in range(MAX_REDIRECTS + 1):
            request = request_bytes(target, body, version, accepts)
            reply = await self._exchange(target, request, fault)
            location = reply.headers.get("location", "")
            goes_to = next_target(target, body is not None, reply.status, location)
            if goes_to is None:
                return reply
            target, body = goes_to, None  # what the POST carried is gone
        raise BadReply("too many redirects")

    async def _exchange(self, target: Target, request: bytes, fault: Fault) -> Reply:
        if fault is Fault.UNREACHABLE:
            raise ConnectionError(fault.value)
        while kept := self._kept(target):
            try:
                return await self._once(target, kept, request, fault)
            except NoAnswer:
                continue  # Android repeats a request on a dead kept connection without a word
        return await self._once(target, await self._open(target), request, fault)

    def _kept(self, target: Target) -> Connection | None:
        for entry in [entry for entry in self._idle if entry[0] == target.place]:
            self._idle.remove(entry)
            if not entry[1].reader.at_eof():
                return entry[1]
            entry[1].writer.close()
        return None

    async def _open(self, target: Target) -> Connection:
        secure = tls() if target.scheme == "https" else None
        return Connection(
            *await asyncio.open_connection(
                target.host, target.port, ssl=secure, local_addr=self._source
            )
        )

    async def _once(
        self, target: Target, connection: Connection, request: bytes, fault: Fault
    ) -> Reply:
        keep = False
        try:
            reply = await self._talk(connection, request, fault)
            keep = reply.keeps
        finally:
            if keep:
                self._idle.append((target.place, connection))
            else:
                connection.writer.close()
        return reply

    async def _talk(self, connection: Connection, request: bytes, fault: Fault) -> Reply:
        if fault is Fault.CUT:
            await connection.send(request[: len(request) // 2], 0, self.sleep)
            raise ConnectionError(fault.value)
        try:
            await connection.send(request, self.pause, self.sleep)
        except ConnectionError as error:
            raise NoAnswer("closed while sending") from error
        if fault is Fault.UNREAD:
            raise ConnectionError(fault.value)
        reply = await connection.read(self.pause, self.sleep)
        if fault is Fault.LOST:
            raise ConnectionError(fault.value)
        return reply

    def close(self) -> None:
        for _, connection in self._idle:
            connection.writer.close()
        self._idle.clear()


@lru_cache
def tls() -> ssl.SSLContext:
    return ssl.create_default_context()
