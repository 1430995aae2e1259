"""A receiver of webhooks that answers at once, or never on `/hang`: `python -m bench.receiver <descriptor>`.

Prints one line for each request it has read: the path, the moment, and the moment the event happened.
"""

import asyncio
import socket
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
STAMP = b'"timestamp":"'


class Receiver(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(HEAD_END)) >= 0:
            head = self._buffer[:end]
            size = end + len(HEAD_END) + _length(head)
            if len(self._buffer) < size:
                return
            self._take(head, self._buffer[end:size])
            self._buffer = self._buffer[size:]

    def _take(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        _, _, stamp = body.partition(STAMP)
        sys.stdout.write(f"{path} {time.time():.4f} {stamp[:24].decode()}\n")
        if path != "/hang":
            self._transport.write(ANSWER)  # type: ignore[attr-defined]


def _length(head: bytes) -> int:
    lowered = head.lower()
    place = lowered.find(LENGTH)
    return int(lowered[place + len(LENGTH) :].split(b"\r\n", 1)[0]) if place >= 0 else 0


async def main(descriptor: int) -> None:
    """Serves until SIGTERM."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, sock=socket.socket(fileno=descriptor))
    while server.is_serving():
        sys.stdout.flush()
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
