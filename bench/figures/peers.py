"""Compares with one peer that runs anywhere, Debian's Kannel: queueing, whole SMS, and syncs of the disk.

Nothing is sent while messages are queued, by neither: no phone polls, and Kannel's SMS centre is down.
"""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from .. import kannel, people, processes, syncs, wrk
from ..kannel import Kannel
from ..places import Server
from ..scope import Scope, require
from ..table import Figure, compared
from . import enqueue, life
from .webhooks import Receiver, receiving

TEXT = "Reminder:+we+expect+you+at+ten"
NUMBER = "+447700900123"
SYNCED, QUICK_SYNCED = 200, 20
# What Kannel reports of each SMS: that the SMS centre has it, and that it is delivered.
TAKEN, DELIVERED = "8", "1"


T = TypeVar("T")
Measure = Callable[[], T]


class Request(NamedTuple):
    """A request that queues one SMS."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None


def measure(scope: Scope) -> list[Figure]:
    """Both servers in alternating rounds, with the same clients."""
    figures = []
    for kind in scope.kinds:
        figures += [*_queueing(scope, kind), *_whole(scope, kind)]
    return figures


def _queueing(scope: Scope, kind: str) -> list[Figure]:
    """SMS a second, and how often the disk is asked to keep what was written for each."""
    name = f"enqueue one by one against Kannel, {kind}"
    url = scope.new_database(kind, f"peers_{kind}")
    taking_part = people.make(url, 1)
    ours = enqueue.one_by_one(scope, f"peers_{kind}", taking_part)
    path = kannel.send_path(NUMBER, f"{TEXT},+{{unique}}")
    theirs = wrk.requests(scope.folder, f"peers_{kind}_kannel", "GET", path, [("", "")])
    with (
        scope.web(url) as server,
        kannel.running(scope.folder / f"kannel_queue_{kind}", has_centre=False) as peer,
    ):
        loads = (partial(_per_second, ours, server.url), partial(_per_second, theirs, peer.url))
        pairs = [_round(loads, number) for number in range(scope.wrk_rounds + 1)][1:]
        our_syncs = _syncs(scope, kind, server, taking_part)
        their_syncs = _kannel_syncs(scope, peer)
    return [
        compared(name, "SMS/s", pairs),
        Figure(f"{name}, syncs before each response", our_syncs, "each", their_syncs),
    ]


def _round(measures: tuple[Measure[T], Measure[T]], number: int) -> tuple[T, T]:
    """Ours and theirs, by turns one and the other first."""
    ours, theirs = measures
    if number % 2:
        return ours(), theirs()
    first = theirs()
    return ours(), first


def _per_second(load: wrk.Requests, url: str) -> float:
    done = load.run(url)
    require(done.errors == 0, f"{done.errors} of {done.requests} messages were not taken")
    return done.per_second


def _syncs(scope: Scope, kind: str, server: Server, taking_part: people.People) -> float:
    """Those of the server and of its database."""
    pids = processes.family(server.process.pid)
    if kind == "postgresql":
        pids += processes.family(life.postmaster(scope.folder))
    count = QUICK_SYNCED if scope.is_quick else SYNCED
    requests = [_ours(taking_part, number) for number in range(count)]
    return syncs.per_item(scope.folder, pids, lambda: _send(server.url, requests))


def _kannel_syncs(scope: Scope, peer: Kannel) -> float:
    count = QUICK_SYNCED if scope.is_quick else SYNCED
    requests = [_theirs() for _ in range(count)]
    before = peer.kept()
    found = syncs.per_item(scope.folder, peer.pids, lambda: _send(peer.url, requests))
    require(peer.kept() == before + count, "Kannel did not write each SMS to a file")
    return found


def _whole(scope: Scope, kind: str) -> list[Figure]:
    """SMS a second until the last callback has come, and the processor of all processes for each."""
    name = f"whole SMS against Kannel, {kind}"
    size = life.QUICK if scope.is_quick else life.USUAL
    with (
        life.running(scope, kind, f"peers_life_{kind}", size) as gateway,
        receiving(scope.folder, f"kannel_{kind}") as receiver,
        kannel.running(scope.folder / f"kannel_{kind}", has_centre=True) as peer,
    ):
        _our_round(gateway, size.messages // 10)
        _their_round(peer, receiver, size.messages // 10)
        lives = (
            partial(_our_round, gateway, size.messages),
            partial(_their_round, peer, receiver, size.messages),
        )
        rounds = [_round(lives, number) for number in range(size.rounds)]
    return [
        compared(name, "SMS/s", [(ours[0], theirs[0]) for ours, theirs in rounds]),
        compared(
            f"{name}, processor", "ms each", [(ours[1], theirs[1]) for ours, theirs in rounds]
        ),
    ]


def _our_round(gateway: life.Gateway, count: int) -> tuple[float, float]:
    """SMS a second until the last webhook has come, and milliseconds of processor for each."""
    first = gateway.fleet.delivered
    requests = [_ours(gateway.taking_part, first + number) for number in range(count)]
    outcome = life.run(gateway, count, partial(_send_all, gateway.server.url, requests))
    return outcome.with_webhooks_per_second, outcome.whole_ms


def _their_round(peer: Kannel, receiver: Receiver, count: int) -> tuple[float, float]:
    """The same until the last callback has come."""
    known = len(receiver.lines())
    requests = [_theirs(f"{receiver.url}/%d/{known + number}") for number in range(count)]
    before, began = peer.cpu_seconds, time.time()
    _send_all(peer.url, requests)
    lines = _callbacks(receiver, known, 2 * count)
    used = peer.cpu_seconds - before
    expected = {f"/{word}/{known + n}" for n in range(count) for word in (TAKEN, DELIVERED)}
    require({line[0] for line in lines} == expected, "not each SMS of Kannel was delivered once")
    return count / (float(lines[-1][1]) - began), 1000 * used / count


def _callbacks(receiver: Receiver, known: int, count: int) -> list[list[str]]:
    deadline = time.monotonic() + life.PATIENCE_SECONDS
    while len(lines := receiver.lines()[known:]) < count:
        require(time.monotonic() < deadline, f"{len(lines)} callbacks of Kannel came of {count}")
        time.sleep(0.05)
    return lines


def _ours(taking_part: people.People, number: int) -> Request:
    draft = {"to": f"+4477009{number:05d}", "content": TEXT.replace("+", " ")}
    return Request("POST", "/api/v1/messages", taking_part.crm_header, json.dumps(draft))


def _theirs(receipt_url: str = "") -> Request:
    return Request("GET", kannel.send_path(NUMBER, TEXT, receipt_url), {}, None)


def _send_all(url: str, requests: Sequence[Request]) -> None:
    """Send over as many kept connections as wrk has."""
    with ThreadPoolExecutor(wrk.CONNECTIONS) as pool:
        shares = [requests[number :: wrk.CONNECTIONS] for number in range(wrk.CONNECTIONS)]
        list(pool.map(partial(_send, url), shares))


def _send(url: str, requests: Sequence[Request]) -> int:
    """Send one after the other over one connection, and return how many."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    for request in requests:
        connection.request(request.method, request.path, request.body, request.headers)
        answer = connection.getresponse()
        content = answer.read()
        require(answer.status in (201, 202), f"an SMS was answered {answer.status} {content!r}")
    connection.close()
    return len(requests)
