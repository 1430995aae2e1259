"""What one process keeps for its connections, and what becomes of one on which something fails."""

import errno
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from gunicorn.config import Config

from smsgw.server import connection_pool, supervisor
from smsgw.server.connection_pool import ConnectionPool
from smsgw.server.connections import Connection
from tests.running import until

from .web import answers, head

ANSWER_BYTES = 5_000_000
ADDRESS = ("127.0.0.1", 1)
THREADS = 2
PATIENCE_SECONDS = 60


def app(_environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(ANSWER_BYTES))])
    return [b"x" * ANSWER_BYTES]


@pytest.fixture
def pool() -> Iterator[ConnectionPool]:
    with closing(ConnectionPool(Config(), app, THREADS, 100)) as made:
        yield made


def connect(pool: ConnectionPool) -> socket.socket:
    ours, theirs = socket.socketpair()
    pool.add(ours, ADDRESS, ADDRESS).start()
    return theirs


def test_the_whole_answer_and_what_follows_its_request_count_as_kept(pool: ConnectionPool):
    rest = head(b"GET /next") * 100
    with connect(pool) as client:
        client.sendall(head(b"GET /") + rest)
        until(lambda: pool._held_bytes > ANSWER_BYTES + len(rest), "the answer")
    until(lambda: (len(pool), pool._held_bytes) == (0, 0), "the connection to go")


def test_no_more_is_kept_than_the_limit_however_busy_all_threads_are(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection_pool, "MAX_HELD_BYTES", 4 * ANSWER_BYTES)
    monkeypatch.setattr(pool, "make_room", lambda *_: None)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(pool)) for _ in range(20)]
        for client in clients:
            client.sendall(head(b"GET /"))
        until(lambda: pool._closed_for_room >= 15, "the rest to be closed")
        assert pool._held_bytes <= 5 * ANSWER_BYTES
        assert len(pool) in (4, 5)


@pytest.mark.parametrize("failing", [["_read"], ["_read", "fail"]], ids=["request", "refusal"])
def test_no_thread_ends_with_a_connection_that_fails(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, failing: list[str]
):
    with monkeypatch.context() as patch:
        for name in failing:
            patch.setattr(Connection, name, broken)
        for _ in range(5):
            with connect(pool) as client:
                client.shutdown(socket.SHUT_WR)
                found = [answer.status for answer in answers(client)]
                assert found == ([500] if len(failing) == 1 else [])
    with connect(pool) as client:
        client.sendall(head(b"GET /", Connection="close"))
        assert [answer.status for answer in answers(client)] == [200]
    until(lambda: len(pool) == 0, "the connections to go")


def broken(_self: Connection) -> None:
    """Fails in a way that nobody thought of."""
    raise ValueError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with supervisor.listen("127.0.0.1", 0) as made:
        yield made


def test_connections_are_accepted_while_all_threads_wait_for_the_database(listener: socket.socket):
    has_database = threading.Event()

    def stalled(_environ: Any, start_response: Any) -> Iterable[bytes]:
        has_database.wait(PATIENCE_SECONDS)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with closing(ConnectionPool(Config(), stalled, THREADS, 100)) as pool, ExitStack() as stack:
        pool.listen([listener])
        clients = [stack.enter_context(request_from(listener)) for _ in range(5 * THREADS)]
        until(lambda: count_after_check(pool) == len(clients), "all to be accepted")
        has_database.set()
        assert [next(answers(client)).status for client in clients] == [200] * len(clients)
        until(lambda: len(pool) == 0, "the connections to go")


def test_a_connection_that_cannot_be_accepted_keeps_no_other_out(
    pool: ConnectionPool, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
):
    faults = [OSError(errno.EIO, "a fault of the kernel")] * (2 * THREADS)
    accept = socket.socket.accept

    def accept_later(sock: socket.socket) -> Any:
        if faults:
            raise faults.pop()
        return accept(sock)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", accept_later)
        pool.listen([listener])
        with request_from(listener) as client:
            assert [answer.status for answer in answers(client)] == [200]
    assert faults == []


def test_a_process_that_stops_leaves_new_connections_to_others(
    pool: ConnectionPool, listener: socket.socket
):
    pool.listen([listener])
    pool.stop()
    with request_from(listener):
        pool.check()
        listener.settimeout(PATIENCE_SECONDS)
        other, _ = listener.accept()
        other.close()


def request_from(listener: socket.socket) -> socket.socket:
    """A client that has sent its only request."""
    client = socket.create_connection(listener.getsockname(), PATIENCE_SECONDS)
    client.sendall(head(b"GET /", Connection="close"))
    return client


def count_after_check(pool: ConnectionPool) -> int:
    pool.check()
    return len(pool)
