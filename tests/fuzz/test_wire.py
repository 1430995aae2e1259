"""Whatever bytes a client sends, the web server answers in JSON or hangs up, and goes on serving phones."""

import socket
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import strategies as st

from ..server.web import Answer, Web, answers, basic, head, serving_web
from .conftest import MOST_GROWTH, check_error
from .mutations import AUTHORIZATIONS, HEADER_VALUES, IS_LONG, fuzz

POLL = b'{"messages": [], "updates": []}'
PATHS = [b"/api/sms", b"/healthz", b"/api/v1/messages", b"/ws", b"/cable", b"*", b"//", b"/%00"]
METHODS = [
    b"GET",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"get",
    b"G\x00T",
    b"",
]
FRAMING = [
    b"Content-Length: %d" % len(POLL),
    b"Content-Length: 0",
    b"Content-Length: -1",
    b"Content-Length: 0x1f",
    b"Content-Length: 31, 31",
    b"Content-Length: 31\r\nContent-Length: 31",
    b"Content-Length: 99999999999999999999",
    b"Content-Length:",
    b"Content-Length : 31",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 31",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"transfer-encoding:chunked\r\nTrailer: X",
    b"Expect: 100-continue\r\nContent-Length: 31",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
    b"Connection: close",
    b"X: y\nZ: w",
    b" folded",
]
HOSTS = [
    b"Host: x",
    b"Host:",
    b"Host: a\r\nHost: b",
    b"Host: [::1",
    b"Host: x:y",
    b"",
    b"Host: \xff",
]
BODIES = [
    POLL,
    b"",
    b"1f\r\n" + POLL + b"\r\n0\r\n\r\n",
    b'1F;ext="x"\r\n' + POLL + b"\r\n0\r\nX: y\r\n\r\n",
    b"-1\r\n" + POLL,
    b"0x1f\r\n" + POLL + b"\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n",
    b"1f\n" + POLL + b"\n0\n\n",
    b"\r\n" * 20,
    b"\x00" * 40,
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"http/1.1", b"", b"HTTP/1.1 x"]
AFTER = head(b"GET /healthz", Connection="close")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with serving_web(tmp_path_factory.mktemp("web")) as running:
        before = memory(running)
        yield running
        assert not IS_LONG or memory(running) - before < MOST_GROWTH


def memory(web: Web) -> int:
    processes = psutil.Process(web.process.pid).children(recursive=True)
    return sum(process.memory_info().rss for process in processes)


@st.composite
def requests(draw) -> bytes:
    """A request with one or more things wrong on the wire; a few are right."""

    def one_of(usual: bytes, others: list[bytes]) -> bytes:
        return draw(st.one_of(st.just(usual), st.just(usual), st.sampled_from(others)))

    line = b" ".join(
        [one_of(b"POST", METHODS), one_of(b"/api/sms", PATHS), one_of(b"HTTP/1.1", VERSIONS)]
    )
    authorization = draw(st.one_of(st.just(basic().decode()), AUTHORIZATIONS))
    headers = [
        one_of(b"Host: x", HOSTS),
        b"Authorization: " + authorization.encode("latin-1", "replace"),
    ]
    headers += draw(st.lists(st.sampled_from(FRAMING), max_size=2))
    headers += [b"X-Any: " + draw(HEADER_VALUES).encode("latin-1", "replace")]
    whole = b"\r\n".join([line, *filter(None, headers), b"", b""]) + draw(st.sampled_from(BODIES))
    if draw(st.integers(0, 4)) == 0 and whole:
        place = draw(st.integers(0, len(whole) - 1))
        whole = whole[:place] + draw(st.binary(max_size=3)) + whole[place + 1 :]
    return whole


def exchange(web: Web, sent: bytes) -> list[Answer]:
    """What is answered to these bytes, and to a right request behind them; nothing more is sent then."""
    found = []
    with web.connect() as sock:
        try:
            sock.sendall(sent + AFTER)
            sock.shutdown(socket.SHUT_WR)
            found.extend(answers(sock))
        except ConnectionError:
            pass
    return found


def test_whatever_bytes_are_sent_are_answered_in_json_or_not_at_all(web: Web):
    @fuzz(requests())
    def attempt(sent):
        for answer in exchange(web, sent):
            assert answer.status < 500 or answer.status in (501, 503, 505), answer
            is_json = answer.headers.get("content-type") == "application/json"
            if answer.status >= 400 and is_json and answer.body:
                check_error("", answer.json)
        assert "Traceback" not in web.log

    attempt()
    assert web.request("POST", "/api/sms", {}, {"Authorization": basic().decode()})[0] == 200
