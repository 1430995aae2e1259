"""Sockets that idle: what 5,000 gateways on `/cable` cost one web process."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.core.devices import protocols
from smsgw.store.db import Database

from .. import places, processes
from ..scope import Scope, require
from ..table import Aim, Figure, shown

MEMORY_AIM = Aim(100, is_upper=True, unit="MB")
CORE_AIM = Aim(10, is_upper=True, unit="%")
SOCKETS, QUICK_SOCKETS = 5000, 200
IDLE_SECONDS, QUICK_IDLE_SECONDS = 20, 7
SETTLING_SECONDS = 3
PATIENCE_SECONDS = 60
# An address has some 28,000 ports, and those of a run that just ended are not free at once.
PER_ADDRESS = 1000
# Besides the sockets: the standard streams, the database's and the log's.
OTHER_FILES = 200
WELCOME = b'{"type":"welcome"}'
PING = b'"type":"ping"'
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n"
)


def measure(scope: Scope) -> list[Figure]:
    """MB that the web process grew by, and its share of a core while nothing happens but pings."""
    count = QUICK_SOCKETS if scope.is_quick else SOCKETS
    seconds = QUICK_IDLE_SECONDS if scope.is_quick else IDLE_SECONDS
    _raise_limit(count + OTHER_FILES)
    url = scope.new_database("sqlite", "sockets")
    keys = _gateways(url, count)
    with scope.web(url, SMSGW_WORKERS="1") as server:
        _warm(server.port, keys[0])
        before = processes.usage(server.process.pid)
        with _open(server.port, keys) as opened:
            time.sleep(SETTLING_SECONDS)
            _drain(opened)
            share = _idle(server.process.pid, seconds)
            after = processes.usage(server.process.pid)
            _check(opened)
    grown = (after.memory_mib - before.memory_mib) * 1.048576
    name = f"{count:,} idle sockets in one process"
    return [
        shown(f"{name}, memory", "MB", grown, MEMORY_AIM),
        shown(f"{name}, processor", "% of a core", 100 * share, CORE_AIM),
    ]


def _raise_limit(files: int) -> None:
    """The server inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    most = hard if hard == resource.RLIM_INFINITY else max(files, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    except ValueError as error:
        raise RuntimeError(f"{files} open files are needed: see `ulimit -Hn`") from error


def _gateways(url: str, count: int) -> list[str]:
    """Keys of that many registered gateways."""
    database, now = Database(url), clock.now()
    keys = []
    with database.transaction() as session:
        for number in range(count):
            device, key = enrolment.add_with_key(session, f"gateway-{number}", None, None, now)
            device.protocol = protocols.MYSMSAPIO
            keys.append(key)
    database.close()
    return keys


@contextmanager
def _open(port: int, keys: list[str]) -> Iterator[list[socket.socket]]:
    """A welcomed socket for each key."""
    with ExitStack() as stack:
        yield [stack.enter_context(_welcomed(port, key, number)) for number, key in enumerate(keys)]


def _warm(port: int, key: str) -> None:
    """The first socket starts the server's loop, which is no cost of the sockets."""
    with _welcomed(port, key, 0):
        pass
    time.sleep(1)


def _welcomed(port: int, key: str, number: int) -> socket.socket:
    raw = socket.socket()
    raw.settimeout(PATIENCE_SECONDS)
    raw.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
    raw.connect((places.HOST, port))
    request = f"GET /cable?api_key={key} HTTP/1.1\r\nHost: bench\r\n{HANDSHAKE}\r\n"
    raw.sendall(request.encode())
    received = b""
    while WELCOME not in received:
        part = raw.recv(4096)
        require(bool(part), f"a socket was answered {received!r}")
        received += part
    return raw


def _drain(opened: list[socket.socket]) -> None:
    """Forgets the pings that came while the others were opened."""
    for one in opened:
        one.setblocking(False)
        with suppress(BlockingIOError):
            one.recv(65536)


def _idle(pid: int, seconds: int) -> float:
    before, began = processes.usage(pid).cpu_seconds, time.monotonic()
    time.sleep(seconds)
    return (processes.usage(pid).cpu_seconds - before) / (time.monotonic() - began)


def _check(opened: list[socket.socket]) -> None:
    """Each is open, and got pings while it idled."""
    for one in opened:
        try:
            received = one.recv(65536)
        except BlockingIOError:
            received = b""
        require(PING in received, f"an idle socket got no ping: {received[-200:]!r}")
