"""What gunicorn would get wrong by itself: slow clients, its control socket, forwarded addresses, odd requests."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .web import PASSWORD, THREADS, Web, basic, head, serving_web


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def web(home: Path) -> Iterator[Web]:
    with serving_web(home) as running:
        yield running


HALF_A_HEADER = b"GET /healthz HTTP/1.1\r\nHost: "
HALF_A_BODY = b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


@pytest.mark.parametrize("sent", [HALF_A_HEADER, HALF_A_BODY])
def test_clients_that_stop_half_way_do_not_keep_the_threads(web: Web, sent: bytes):
    slow = [web.connect() for _ in range(2 * THREADS)]
    for sock in slow:
        sock.sendall(sent)
    assert web.request("GET", "/healthz")[0] == 200
    for sock in slow:
        sock.close()


def test_a_connection_serves_several_requests(web: Web):
    with web.connect() as sock:
        answers = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in answers.readline()
            headers = dict(
                line.decode().strip().lower().split(": ", 1)
                for line in iter(answers.readline, b"\r\n")
            )
            assert headers["connection"] == "keep-alive"
            answers.read(int(headers["content-length"]))


@pytest.mark.parametrize("options", ["close", "TE, close", "keep-alive\r\nConnection: Close"])
def test_who_asks_to_close_gets_no_further_answer(web: Web, options: str):
    asked = head(b"GET /healthz", Connection=options, TE="trailers")
    got = web.exchange(asked + head(b"GET /healthz"))
    assert [answer.headers["connection"] for answer in got] == ["close"]


def test_there_is_no_control_socket(web: Web, home: Path):
    assert web.request("GET", "/healthz")[0] == 200
    assert not (home / ".gunicorn").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_password_counts_in_both_encodings(web: Web, encoding: str):
    header = {"Authorization": basic(PASSWORD.encode(encoding)).decode()}
    assert web.request("GET", "/api/sms", headers=header)[0] == 200


def test_a_wrong_password_in_latin_1_is_401_and_no_bug(web: Web):
    header = {"Authorization": basic("fälsch".encode("latin-1")).decode()}
    assert web.request("GET", "/api/sms", headers=header)[0] == 401


def test_an_unfinished_body_closes_the_connection_and_nothing_of_it_is_a_request(web: Web):
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with web.connect() as sock:
        sock.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
            + smuggled
        )
        sock.shutdown(socket.SHUT_WR)
        with closing(sock.makefile("rb")) as answers:
            assert answers.read().count(b"HTTP/1.1 ") == 1
