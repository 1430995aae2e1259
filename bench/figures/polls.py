"""Polls that bring nothing and find nothing: what an idle fleet costs.

The stock phone opens a new connection for each poll, and Android wants TLS; other clients keep their connections.
"""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import nginx, people, processes, wrk
from ..places import HOST, Server
from ..scope import Scope, require
from ..table import Aim, Figure, compared
from ..wrk import Load

AIMS = {"sqlite": Aim(0.75), "postgresql": Aim(0.55)}
FRESH_AIM = Aim(0.85)
TLS_AIM = Aim(0.9)
PHONES = 200
IDLE_BODY = '{"messages": [], "updates": []}'
# 20,000 phones that poll once a minute.
PACED_PER_SECOND = 333
PACED_SECONDS, QUICK_SECONDS = 4, 1
MOST_PACED_ROUNDS = 5


@dataclass(frozen=True)
class Round:
    """One round: the load, and the processor time of the whole server for each request."""

    load: Load
    cpu_us: float


Pair = tuple[Round, Round]


def measure(scope: Scope) -> list[Figure]:
    """Polls a second, how long they took, and processor time, against the bare route in the same round."""
    figures = []
    for kind in scope.kinds:
        url = scope.new_database(kind, f"polls_{kind}")
        logins = people.make(url, PHONES).logins
        pairs = [(people.basic(login), IDLE_BODY) for login in logins]
        load = wrk.requests(scope.folder, f"polls_{kind}", "POST", "/api/sms", pairs)
        figures += _plain(scope, kind, url, load, pairs[0][0])
        if nginx.is_installed():
            figures += _behind_tls(scope, kind, url, load)
        else:
            print("nginx is missing, so nothing is measured behind TLS", file=sys.stderr)
    return figures


def _plain(scope: Scope, kind: str, url: str, load: wrk.Requests, phone: str) -> list[Figure]:
    with scope.bare() as bare, scope.web(url) as server:
        _check(server, phone)
        kept = _rounds(scope, load, (server, server.url), (bare, bare.url), is_fresh=False)
        fresh = _rounds(scope, load, (server, server.url), (bare, bare.url), is_fresh=True)
        count = min(scope.wrk_rounds, MOST_PACED_ROUNDS)
        seconds = QUICK_SECONDS if scope.is_quick else PACED_SECONDS
        paced = [
            (_paced_cpu_us(server, phone, seconds), _paced_cpu_us(bare, phone, seconds))
            for _ in range(count)
        ]
    return [
        *_figures(f"idle poll, {kind}", kept, AIMS[kind]),
        *_figures(f"idle poll, fresh connections, {kind}", fresh, FRESH_AIM),
        compared(f"idle poll, {PACED_PER_SECOND} a second, {kind}, processor", "µs", paced),
    ]


def _behind_tls(scope: Scope, kind: str, url: str, load: wrk.Requests) -> list[Figure]:
    with (
        scope.bare() as bare,
        scope.web(url, SMSGW_TRUSTED_PROXIES="1") as server,
        _nginx(scope, bare, f"bare_{kind}") as bare_url,
        _nginx(scope, server, f"ours_{kind}") as our_url,
    ):
        rounds = _rounds(scope, load, (server, our_url), (bare, bare_url), is_fresh=True)
    return _figures(f"idle poll, fresh TLS behind nginx, {kind}", rounds, TLS_AIM)


@contextmanager
def _nginx(scope: Scope, server: Server, name: str) -> Iterator[str]:
    with nginx.before(server, scope.folder / f"nginx_{name}") as url:
        yield url


def _check(server: Server, authorization: str) -> None:
    answer = server.request("POST", "/api/sms", {}, {"Authorization": authorization})
    require(answer == (200, {"messages": []}), f"an idle poll was answered {answer}")
    status, _ = server.request("POST", "/api/sms", {}, {"Authorization": "Basic eDp5"})
    require(status == 401, f"a stranger was answered {status}")


def _rounds(
    scope: Scope,
    load: wrk.Requests,
    ours: tuple[Server, str],
    bare: tuple[Server, str],
    *,
    is_fresh: bool,
) -> list[Pair]:
    """Rounds of ours and the bare route, each first in turn, after one of each that does not count."""
    pairs = []
    for number in range(scope.wrk_rounds + 1):
        one, other = (ours, bare) if number % 2 else (bare, ours)
        first, second = _round(load, *one, is_fresh), _round(load, *other, is_fresh)
        pairs.append((first, second) if number % 2 else (second, first))
    return pairs[1:]


def _round(load: wrk.Requests, server: Server, url: str, is_fresh: bool) -> Round:
    before = processes.usage(server.process.pid).cpu_seconds
    done = load.run(url, is_fresh=is_fresh)
    used = processes.usage(server.process.pid).cpu_seconds - before
    require(done.errors == 0, f"{done.errors} of {done.requests} idle polls failed")
    return Round(done, 1e6 * used / done.requests)


def _paced_cpu_us(server: Server, authorization: str, seconds: int) -> float:
    """Processor time of the server for each poll while it is polled at an even pace, over fresh connections."""
    sent = (
        f"POST /api/sms HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(IDLE_BODY)}\r\n\r\n{IDLE_BODY}"
    ).encode()
    count = PACED_PER_SECOND * seconds
    before = processes.usage(server.process.pid).cpu_seconds
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / PACED_PER_SECOND - time.monotonic()))
        with socket.create_connection((HOST, server.port), timeout=60) as client:
            client.sendall(sent)
            answer = client.recv(4096)
        require(answer.startswith(b"HTTP/1.1 200 "), f"an idle poll was answered {answer!r}")
    return 1e6 * (processes.usage(server.process.pid).cpu_seconds - before) / count


def _figures(name: str, pairs: list[Pair], aim: Aim) -> list[Figure]:
    loads = [(ours.load, bare.load) for ours, bare in pairs]
    return [
        compared(name, "polls/s", [(a.per_second, b.per_second) for a, b in loads], aim),
        compared(f"{name}, p50", "ms", [(a.p50_ms, b.p50_ms) for a, b in loads]),
        compared(f"{name}, p99", "ms", [(a.p99_ms, b.p99_ms) for a, b in loads]),
        compared(f"{name}, processor", "µs", [(a.cpu_us, b.cpu_us) for a, b in pairs]),
    ]
