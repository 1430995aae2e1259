"""Clients that send or read slowly, or connect and say nothing, hold no thread, and not for long."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.running import until

from ..fuzz.mutations import IS_LONG
from .web import Web, answers, basic, head, serving_web

# `make fuzz` opens four times as many.
SLOW_CLIENTS = 2000 if IS_LONG else 500
FEW_CLIENTS = 100
IMPATIENT = "head_seconds=1, body_seconds=2, send_seconds=1, linger_seconds=1"
LARGE_ANSWER = b"GET /docs/swagger-ui-bundle.js"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One process with two threads and the times as they come."""
    with serving_web(tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The same that waits a second for everything, and two for bodies."""
    with serving_web(tmp_path_factory.mktemp("web"), IMPATIENT) as running:
        yield running


def poll(web: Web) -> int:
    status, _, _ = web.request(
        "POST", "/api/sms", {}, {"Authorization": basic().decode(), "Content-Type": "text/plain"}
    )
    return status


HALF = {
    "nothing": b"",
    "one byte": b"G",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: ",
    "half a body": head(b"POST /api/sms", Content_Length="100") + b"{",
    "half a chunk": head(b"POST /api/sms", Transfer_Encoding="chunked") + b"64\r\n{",
    "half a chunk's size": head(b"POST /api/sms", Transfer_Encoding="chunked") + b"6",
    "half a body of a phone": head(
        b"POST /api/sms", Authorization=basic(), Content_Length="100", Content_Encoding="gzip"
    )
    + b"\x1f",
    "a whole request and half of the next": head(b"GET /healthz") + b"GET /healthz HT",
}


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[None]:
    """Enough for the clients of a test, and for the servers, which inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < SLOW_CLIENTS + 500:
        wanted = SLOW_CLIENTS + 500
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("sent", HALF.values(), ids=HALF)
def test_phones_are_served_while_many_clients_send_slowly(web: Web, sent: bytes):
    with ExitStack() as stack:
        slow = [stack.enter_context(web.connect()) for _ in range(SLOW_CLIENTS)]
        for sock in slow:
            sock.sendall(sent)
        assert poll(web) == 200
        for sock in slow:
            sock.sendall(b"G")
        assert poll(web) == 200


def test_phones_are_served_while_many_clients_do_not_read(web: Web):
    with ExitStack() as stack:
        for _ in range(4 * FEW_CLIENTS // 10):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect(("127.0.0.1", web.port))
            sock.sendall(head(LARGE_ANSWER) * 4)
        assert poll(web) == 200


def test_a_client_that_reads_slowly_gets_the_whole_answer(web: Web):
    whole = web.exchange(head(LARGE_ANSWER, Connection="close"))[0].body
    assert len(whole) > 1_000_000
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(("127.0.0.1", web.port))
        sock.sendall(head(LARGE_ANSWER) + head(LARGE_ANSWER, Connection="close"))
        time.sleep(0.5)
        assert [answer.body == whole for answer in answers(sock)] == [True, True]


@pytest.mark.parametrize("sent", list(HALF.values())[2:6], ids=list(HALF)[2:6])
def test_half_a_request_is_answered_408_when_its_time_is_over(impatient: Web, sent: bytes):
    (answer,) = impatient.exchange(sent)
    assert (answer.status, answer.json["code"]) == (408, "request_timeout")


def test_sending_a_byte_now_and_then_gives_no_more_time(impatient: Web):
    with impatient.connect() as sock:
        sock.settimeout(0.2)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert b" 408 " in until(lambda: trickle(sock), "the deadline")


def trickle(sock: socket.socket) -> bytes:
    try:
        sock.sendall(b"x")
        return sock.recv(1000)
    except TimeoutError:
        return b""


def test_a_body_that_comes_at_the_least_rate_is_taken_however_long_it_takes(impatient: Web):
    body = b" " * 2998 + b"{}"
    with impatient.connect() as sock:
        sock.sendall(head(b"POST /api/sms", Authorization=basic(), Content_Length="3000"))
        for at in range(0, 3000, 500):
            sock.sendall(body[at : at + 500])
            time.sleep(0.45)
        assert next(answers(sock)).status == 200


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed_without_a_word(impatient: Web, sent: bytes):
    assert [answer.status for answer in impatient.exchange(sent)] in ([], [408])


def test_an_answer_that_nobody_reads_is_dropped(impatient: Web):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(("127.0.0.1", impatient.port))
        sock.sendall(head(LARGE_ANSWER) * 20)
        until(lambda: is_reset(sock), "the server to close")


def test_a_body_is_let_go_of_before_its_answer_is_read(web: Web):
    body = b"x" * 1_000_000
    count = len(files_without_a_name(web))
    with ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect(("127.0.0.1", web.port))
            sock.sendall(head(LARGE_ANSWER, Content_Length=str(len(body))) + body)
            assert sock.recv(12) == b"HTTP/1.1 200"
        until(lambda: len(files_without_a_name(web)) == count, "the bodies to go")


def files_without_a_name(web: Web) -> list[str]:
    """What the web processes keep on the disk."""
    parent = web.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    held = [os.readlink(link) for pid in children for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [target for target in held if "(deleted)" in target]


def is_reset(sock: socket.socket) -> bool:
    """Whether the server has ended the connection, without reading what it sent."""
    try:
        sock.send(b"x")
    except OSError:
        return True
    return False


def test_requests_that_come_together_are_answered_in_order(web: Web):
    missing = head(b"GET /nowhere")
    body = head(b"POST /api/sms", Authorization=basic(), Content_Length="2") + b"{}"
    last = head(b"GET /healthz", Connection="close")
    got = web.exchange(missing + body + missing + last)
    assert [answer.status for answer in got] == [404, 200, 404, 200]


MALFORMED = {
    "no request": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    "length and chunked": (
        head(b"POST /", Content_Length="5", Transfer_Encoding="chunked") + b"0\r\n\r\n",
        400,
    ),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "a blank before the colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "a signed length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "an unknown version": (b"GET / HTTP/3.0\r\n\r\n", 400),
    "a long line": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    "a long header": (head(b"GET /", A=b"x" * 9000), 431),
    "a large head": (head(b"GET /", **{f"A{n}": b"x" * 8000 for n in range(9)}), 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    "a long head without an end": (b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 70_000, 431),
    "an unknown expectation": (head(b"GET /", Expect="tea"), 417),
}


@pytest.mark.parametrize(("sent", "status"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_request_is_refused_in_json_and_nothing_after_it_is_one(
    web: Web, sent: bytes, status: int
):
    got = web.exchange(sent + head(b"GET /healthz"))
    assert [answer.status for answer in got] == [status]
    assert got[0].headers["content-type"] == "application/json"
    assert got[0].headers["connection"] == "close"
    assert set(got[0].json) == {"error", "code", "message", "details"}


def test_the_log_has_a_line_for_what_is_refused_and_no_key(web: Web):
    web.exchange(b"GET /ws?apiKey=kept-secret HTTP/9.9\r\n\r\n")
    until(lambda: "a request from 127.0.0.1 was refused: 400 Bad Request" in web.log, "the line")
    assert "kept-secret" not in web.log


FEW_DESCRIPTORS = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))"
UNAWARE = "from smsgw.server import web_worker; web_worker.RESERVED_DESCRIPTORS = -1000"


@pytest.mark.parametrize(
    ("before", "times", "line"),
    [
        (FEW_DESCRIPTORS, "", "too many connections"),
        # Its database cannot be opened either until the time of the clients that were accepted is over.
        (f"{FEW_DESCRIPTORS}; {UNAWARE}", IMPATIENT, "no connection can be accepted: Too many"),
    ],
    ids=["at its limit", "out of descriptors"],
)
def test_clients_that_wait_longest_make_room_for_new_ones(
    tmp_path: Path, before: str, times: str, line: str
):
    with serving_web(tmp_path, times, before) as web, ExitStack() as stack:
        for _ in range(2 * FEW_CLIENTS):
            stack.enter_context(web.connect()).sendall(b"GET ")
        until(lambda: is_served(web), "a phone to be served")
        until(lambda: line in web.log, "the line in the log")


def is_served(web: Web) -> bool:
    try:
        return poll(web) == 200
    except OSError:
        return False


@pytest.mark.parametrize("path", ["/cable", "/ws"])
def test_phones_are_served_while_strangers_open_sockets(tmp_path: Path, path: str):
    with serving_web(tmp_path, before=FEW_DESCRIPTORS) as web, ExitStack() as stack:
        for _ in range(FEW_CLIENTS):
            sock = stack.enter_context(web.connect())
            sock.sendall(handshake(path))
            first = next(answers(sock))
            assert first.status == (101 if path == "/cable" else 401)
        assert poll(web) == 200


def handshake(path: str) -> bytes:
    return head(
        f"GET {path}".encode(),
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
    )
