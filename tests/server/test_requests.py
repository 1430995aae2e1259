"""Reading requests from bytes as they come: the same requests wherever the network cuts them."""

from io import BytesIO
from itertools import pairwise

import pytest
from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.unreader import IterUnreader
from hypothesis import example, given
from hypothesis import strategies as st

from smsgw.server import requests
from smsgw.server.chunks import ChunkDecoder
from smsgw.server.refusals import Refusal
from smsgw.server.requests import RequestReader

from .web import head

PEER = ("127.0.0.1", 1)
CHUNKED_BODY = b"3;x=y\r\none\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"
STREAM = (
    head(b"GET /one")
    + head(b"POST /two", Content_Length="5")
    + b"hello"
    + head(b"POST /three", Transfer_Encoding="chunked")
    + CHUNKED_BODY
    + head(b"PUT /four", Content_Length="0")
)
REQUESTS = [("/one", b""), ("/two", b"hello"), ("/three", b"one0123456789"), ("/four", b"")]


class Headless:
    """As much of a request as a body's reader asks for."""

    limit_request_field_size = 8190
    max_buffer_headers = 16 * 1024

    def parse_headers(self, data: bytes, from_trailer: bool) -> list[object]:
        assert from_trailer
        return []


def read(*parts: bytes) -> list[tuple[str, bytes]]:
    """The requests in these parts, which come one after another."""
    reader, found = RequestReader(Config(), PEER), []
    for part in parts:
        reader.feed(part)
        while reader.body is not None:
            found.append((reader.request.path, reader.body.read()))
            reader.finish()
            reader.feed_rest()
    return found


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
@example(list(range(len(STREAM))))
def test_requests_are_the_same_wherever_they_are_cut(cuts: list[int]):
    places = sorted({0, *cuts, len(STREAM)})
    parts = [STREAM[start:end] for start, end in pairwise(places)]
    assert read(*parts) == REQUESTS


PIECES = [b"0", b"1", b"a", b"F", b"\r\n", b"\r", b"\n", b";", b"x=1", b" ", b"hello", b"00", b": "]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.integers(1, 9))
@example(CHUNKED_BODY, 1)
@example(b"0\r\n\r\nrest", 3)
def test_chunks_are_decoded_as_gunicorn_decodes_them(sent: bytes, size: int):
    theirs = ChunkedReader(Headless(), IterUnreader([sent]))
    ours = ChunkDecoder(Headless())
    try:
        expected = theirs.read(1000)
    except (NoMoreData, ParseException):
        expected = None
    try:
        decoded = b"".join(ours.feed(sent[at : at + size]) for at in range(0, len(sent), size))
    except ParseException:
        assert expected is None
    else:
        assert (decoded if ours.is_complete else None) == expected


def test_a_large_body_goes_to_the_disk_and_comes_back(monkeypatch):
    monkeypatch.setattr(requests, "MAX_BODY_BYTES_IN_MEMORY", 10)
    reader = RequestReader(Config(), PEER)
    reader.feed(head(b"POST /", Content_Length="40"))
    for _ in range(4):
        reader.feed(b"0123456789")
    assert not isinstance(reader.body._file, BytesIO)
    assert reader.body.read() == b"0123456789" * 4


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\nA: b\r\n"])
def test_a_head_that_never_ends_is_refused_at_its_limit(part: bytes):
    with pytest.raises(Refusal) as refused:
        read(*[part] * (requests.MAX_HEAD_BYTES + 1))
    assert refused.value.status in (400, 414, 431)
