"""A receiver that behaves in every way a receiver should not, on a real socket."""

import contextlib
import gzip
import socket
import ssl
import threading
from collections.abc import Callable

DRIP_SECONDS = 0.2


class Misbehaving:
    """A server on a free port; each connection is given to `behaviour`, which may end or never end.

    `behaviour` takes the connection and this server. `requests` holds every request that was read in whole.
    """

    def __init__(
        self,
        behaviour: Callable[[socket.socket, "Misbehaving"], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._behaviour = behaviour
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lines: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> "Misbehaving":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            hang_up(line)
        for thread in self._threads:
            thread.join(5)

    def read_request(self, line: socket.socket) -> bool:
        """Read one request to its end; `False` when the sender is gone."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = line.recv(65536)
            if not piece:
                return False
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        while len(body) < _length(head):
            piece = line.recv(65536)
            if not piece:
                return False
            body += piece
        self.requests.append(head + b"\r\n\r\n" + body)
        return True

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        line.settimeout(20)
        try:
            with (
                line
                if self._tls is None
                else self._tls.wrap_socket(line, server_side=True) as wrapped
            ):
                self._lines.append(wrapped)
                self._behaviour(wrapped, self)
        except OSError:
            return  # the client hung up, which is what these tests are about


def hang_up(line: socket.socket) -> None:
    """Wake whoever reads from it, TLS or not."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)


def _length(head: bytes) -> int:
    for header in head.lower().split(b"\r\n"):
        if header.startswith(b"content-length:"):
            return int(header.partition(b":")[2])
    return 0


def drips(first: bytes, then: bytes = b"a"):
    """Read the request, send `first`, then `then` every 0.2 seconds for as long as it is taken."""

    def behave(line, server):
        server.read_request(line)
        line.sendall(first)
        while not server.stopping.wait(DRIP_SECONDS):
            line.sendall(then)

    return behave


def answers(whole: bytes):
    """Read a request and send these bytes, for every request on the connection."""

    def behave(line, server):
        while server.read_request(line):
            line.sendall(whole)

    return behave


def answers_once(whole: bytes):
    """Read a request, send these bytes and hang up."""

    def behave(line, server):
        server.read_request(line)
        line.sendall(whole)

    return behave


def answer(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    """A proper answer, as bytes."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def never_answers(line, server):
    server.read_request(line)
    server.stopping.wait()


def says_nothing(line, server):
    server.stopping.wait()


def closes_at_once(line, server):
    server.read_request(line)


def floods(line, server):
    """A body without an end."""
    server.read_request(line)
    line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not server.stopping.is_set():
        line.sendall(b"x" * 65536)


def greets(line, server):
    """Speak first, as a mail server does."""
    line.sendall(b"220 mail.test ESMTP\r\n")
    server.stopping.wait()


def closes_the_second_time(line, server):
    """A good answer, and then the connection dies as soon as it is used again."""
    server.read_request(line)
    line.sendall(answer())
    server.read_request(line)


def gzip_bomb() -> bytes:
    return answer("200 OK", gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip")
