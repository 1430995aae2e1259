"""The line to the servers: shares connections out among them, and can lose what they answer."""

import asyncio
import random
import threading
from collections.abc import Coroutine
from contextlib import suppress


class Relay:
    """Listens on `port` while the `with` lasts, and leads each connection to one of `targets`.

    `loss` is the chance that an answer is lost: the server has given it, and the caller's connection ends without it.
    """

    def __init__(self, chance: random.Random) -> None:
        self.targets: list[int] = []
        self.loss = 0.0
        self.lost_count = 0
        self.port = 0
        self._chance = chance
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> "Relay":
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._pass_on, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[None, None, asyncio.Server]) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _close(self) -> asyncio.Server:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self._server

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            target = self._chance.choice(self.targets)
            from_server, to_server = await asyncio.open_connection("127.0.0.1", target)
            try:
                there = asyncio.ensure_future(self._pump(reader, to_server, may_lose=False))
                await self._pump(from_server, writer, may_lose=True)
                there.cancel()
            finally:
                to_server.close()
        writer.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, may_lose: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                if may_lose and self._chance.random() < self.loss:
                    self.lost_count += 1
                    sink.transport.abort()
                    return
                sink.write(data)
                await sink.drain()
        if not may_lose:
            with suppress(OSError):
                sink.write_eof()
