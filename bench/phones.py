"""Simulated phones with the stock app: each sends what it is handed at once, and reports on it as the app does."""

import asyncio
import json
from collections.abc import Iterator, Sequence

from . import people, places
from .scope import require

MOST_UPDATES = 20
# What the app has to say once it has sent an SMS; that it was delivered comes with a later wake-up.
SENT_WORDS = ("UNSENT", "PENDING", "SENT")
_HEAD = "POST /api/sms HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n"
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Phone:
    """One phone. `taken` is what it was handed, `delivered` how many delivery reports the server has taken.

    It keeps its connection, or has a fresh one for each wake-up.
    """

    def __init__(self, port: int, login: tuple[str, str], *, keeps_connection: bool) -> None:
        self.taken: list[str] = []
        self.delivered = 0
        self._port = port
        self._keeps_connection = keeps_connection
        head = _HEAD.format(host=places.HOST, authorization=people.basic(login))
        self._head = head.encode()
        self._updates: list[tuple[str, str]] = []
        self._on_their_way: list[str] = []
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def wake(self) -> None:
        """Poll, and at once again while the polls are full of updates."""
        self._updates += [(id_, "DELIVERED") for id_ in self._on_their_way]
        self._on_their_way = []
        is_full = True
        while is_full:
            is_full = await self._poll() == MOST_UPDATES
        if not self._keeps_connection:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _poll(self) -> int:
        batch = self._updates[:MOST_UPDATES]
        updates = [{"status": word, "id": id_} for id_, word in batch]
        body = json.dumps({"messages": [], "updates": updates}).encode()
        answer = await self._exchange(body)
        self.delivered += sum(word == "DELIVERED" for _, word in batch)
        self._on_their_way += [id_ for id_, word in batch if word == "SENT"]
        del self._updates[: len(batch)]
        fresh = [item["id"] for item in json.loads(answer)["messages"]]
        self.taken += fresh
        self._updates += [(id_, word) for word in SENT_WORDS for id_ in fresh]
        return len(batch)

    async def _exchange(self, body: bytes) -> bytes:
        """Send one request; once more where the server has just ended a connection that was kept, as the app does."""
        request = self._head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        is_kept = self._writer is not None
        try:
            return await self._send(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            if not is_kept:
                raise
            self.hang_up()
            return await self._send(request)

    async def _send(self, request: bytes) -> bytes:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(places.HOST, self._port)
        self._writer.write(request)
        head = await self._reader.readuntil(_HEAD_END)
        body = await self._reader.readexactly(_length(head))
        status = head.split(b" ", 2)[1]
        require(status == b"200", f"a poll was answered {status.decode()} {body!r}")
        return body


class Fleet:
    """Phones that wake up every `interval` seconds, one after another; every second one keeps its connection."""

    def __init__(self, port: int, logins: Sequence[tuple[str, str]], interval: float) -> None:
        self._interval = interval
        self.phones = [
            Phone(port, login, keeps_connection=bool(number % 2))
            for number, login in enumerate(logins)
        ]

    @property
    def delivered(self) -> int:
        """How many delivery reports the server has taken."""
        return sum(phone.delivered for phone in self.phones)

    def taken(self) -> Iterator[str]:
        """Yield all that they were handed."""
        for phone in self.phones:
            yield from phone.taken

    async def run_until_delivered(self, count: int, patience_seconds: float) -> None:
        """Wake the phones up until the server has taken so many delivery reports."""
        async with asyncio.timeout(patience_seconds), asyncio.TaskGroup() as group:
            for number, phone in enumerate(self.phones):
                delay = self._interval * number / len(self.phones)
                group.create_task(self._live(phone, delay, count))
        for phone in self.phones:
            phone.hang_up()

    async def _live(self, phone: Phone, delay: float, count: int) -> None:
        await asyncio.sleep(delay)
        now = asyncio.get_running_loop().time
        while self.delivered < count:
            began = now()
            await phone.wake()
            if self.delivered < count:
                await asyncio.sleep(max(0.0, began + self._interval - now()))


def _length(head: bytes) -> int:
    lowered = head.lower()
    place = lowered.index(_LENGTH)
    return int(lowered[place + len(_LENGTH) :].split(b"\r\n", 1)[0])
