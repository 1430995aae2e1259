"""Phones among 2,000 clients that send heads and bodies, and read answers, as slowly as they can."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle, islice
from statistics import quantiles

from smsgw.server import supervisor

from .. import people
from ..places import Server
from ..scope import Scope, require
from ..table import Aim, Figure, shown

AIM = Aim(250, is_upper=True, unit="ms")
CLIENTS, QUICK_CLIENTS = 2000, 60
POLLS, QUICK_POLLS = 1000, 50
TRICKLE_SECONDS = 5.0
# More than what the kernel takes of an answer for a client that reads nothing.
ANSWERS = 8

HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: bench\r\nX-Slow: "
HALF_A_BODY = b"POST /api/sms HTTP/1.1\r\nHost: bench\r\nContent-Length: 100000\r\n\r\n"
LARGE_ANSWER = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: bench\r\n\r\n"
KINDS = (HALF_A_HEAD, HALF_A_BODY, LARGE_ANSWER * ANSWERS)


def measure(scope: Scope) -> list[Figure]:
    """p99 of polls on fresh connections, alone and among the slow clients, in one run."""
    clients = QUICK_CLIENTS if scope.is_quick else CLIENTS
    polls = QUICK_POLLS if scope.is_quick else POLLS
    supervisor.raise_descriptor_limit()
    url = scope.new_database("sqlite", "slow")
    authorization = people.basic(people.make(url, 1).logins[0])
    with scope.app(url) as server:
        alone = p99_ms(server, authorization, polls, lambda: None)
        with _slow(server.port, clients) as trickle:
            among = p99_ms(server, authorization, polls, trickle)
    return [
        shown("a poll alone, p99", "ms", alone),
        shown(f"a poll among {clients:,} slow clients, p99", "ms", among, AIM),
    ]


def p99_ms(server: Server, authorization: str, polls: int, between: Callable[[], None]) -> float:
    """The 99th percentile of so many polls on fresh connections, one after the other; does `between` before each."""
    taken = []
    for _ in range(polls):
        between()
        began = time.perf_counter()
        answer = server.request("POST", "/api/sms", {}, {"Authorization": authorization})
        taken.append(1000 * (time.perf_counter() - began))
        require(answer[0] == 200, f"a poll among slow clients was answered {answer}")
    return quantiles(taken, n=100)[98]


@contextmanager
def _slow(port: int, count: int) -> Iterator[Callable[[], None]]:
    """So many slow clients; what it gives sends another byte for each of them whenever it is time."""
    with ExitStack() as stack:
        opened = [stack.enter_context(_client(port, kind)) for kind in islice(cycle(KINDS), count)]
        last = time.monotonic()

        def trickle() -> None:
            nonlocal last
            if time.monotonic() < last + TRICKLE_SECONDS:
                return
            last = time.monotonic()
            for client in opened:
                with suppress(OSError):  # the server has ended it
                    client.send(b"x")

        yield trickle


def _client(port: int, sent: bytes) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.settimeout(60)
    client.connect(("127.0.0.1", port))
    client.sendall(sent)
    client.setblocking(False)
    return client
