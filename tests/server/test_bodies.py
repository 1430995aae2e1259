"""Bodies and refusals as clients send and see them: chunked, compressed, too large, with a wrong key, half."""

import gzip
import json
import socket
import subprocess
from collections.abc import Iterator

import pytest
import requests

from tests.conftest import missing
from tests.live import node

from .web import Web, answers, basic, head, serving_web

MIB = 1024 * 1024
CHUNKED = {"Transfer_Encoding": "chunked"}
SMS = {"to": "+12025550123", "content": "hello"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with serving_web(tmp_path_factory.mktemp("web")) as running:
        yield running


def chunks(body: bytes, size: int = 7, trailers: bytes = b"") -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return framed + b"0\r\n" + trailers + b"\r\n"


def post(web: Web, path: bytes, body: bytes, **headers: bytes | str) -> bytes:
    key = web.as_crm["Authorization"]
    return head(b"POST " + path, Authorization=key, Connection="close", **headers) + body


@pytest.mark.parametrize("trailers", [b"", b"X-Checksum: 1\r\n"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_chunked_body_is_taken_however_it_is_cut(web: Web, size: int, trailers: bytes):
    body = json.dumps(SMS).encode()
    sent = post(web, b"/api/v1/messages", b"", **CHUNKED) + chunks(body, size, trailers)
    (answer,) = web.exchange(*(sent[at : at + 50] for at in range(0, len(sent), 50)))
    assert (answer.status, answer.json["content"]) == (202, "hello")


def test_a_chunked_body_is_taken_on_every_endpoint(web: Web):
    def status(path: bytes, body: bytes, authorization: bytes) -> int:
        sent = head(b"POST " + path, Authorization=authorization, Connection="close", **CHUNKED)
        (answer,) = web.exchange(sent + chunks(body))
        return answer.status

    key = web.as_crm["Authorization"].encode()
    assert status(b"/api/sms", b'{"messages": []}', basic()) == 200
    sms = {"to": "+12025550123", "message": "hello"}
    assert status(b"/api/v1/sms/send", json.dumps(sms).encode(), key) == 202
    batch = {"messages": [SMS]}
    assert status(b"/api/v1/messages/batch", json.dumps(batch).encode(), key) in (200, 202, 207)
    assert status(b"/registerDevice", b'{"deviceId": "x"}', b"") in (401, 403, 404)


def test_a_chunked_and_packed_body_is_unpacked(web: Web):
    body = gzip.compress(json.dumps(SMS).encode())
    sent = post(web, b"/api/v1/messages", chunks(body), Content_Encoding="gzip", **CHUNKED)
    (answer,) = web.exchange(sent)
    assert answer.status == 202


@pytest.mark.parametrize(
    "bad",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2 \r\n{}\r\n0\r\n\r\n",
        b"2\n{}\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2\r\n{}\n0\r\n\r\n",
        b"2;\x00\r\n{}\r\n0\r\n\r\n",
        b"11111111111111111\r\n{}\r\n0\r\n\r\n",
        b"\r\n{}\r\n0\r\n\r\n",
        b"0" * 2000,
        b"2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n",
        b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
        b"1\r\n{\r\n" * 100_000,
    ],
)
def test_bad_chunks_are_400_in_json_and_nothing_after_them_is_a_request(web: Web, bad: bytes):
    smuggled = head(b"GET /healthz")
    got = web.exchange(post(web, b"/api/v1/messages", bad + smuggled, **CHUNKED))
    assert [answer.status for answer in got] == [400]
    assert got[0].json["error"] is True


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "xchunked"])
def test_another_transfer_coding_is_refused(web: Web, coding: str):
    sent = post(web, b"/api/v1/messages", chunks(b"{}"), Transfer_Encoding=coding)
    (answer,) = web.exchange(sent)
    assert answer.status in (400, 501)
    assert answer.json["error"] is True


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_above_every_limit_is_413_without_being_kept(web: Web, is_chunked: bool):
    body = b" " * (17 * MIB)
    if is_chunked:
        sent = post(web, b"/api/v1/messages", b"", **CHUNKED) + chunks(body, MIB)
    else:
        sent = post(web, b"/api/v1/messages", body, Content_Length=str(len(body)))
    (answer,) = web.exchange(sent)
    assert (answer.status, answer.json["code"]) == (413, "request_entity_too_large")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_exactly_the_limit_is_read(web: Web, is_chunked: bool):
    body = b"{}".rjust(16 * MIB)
    framed = chunks(body, MIB) if is_chunked else body
    headers = CHUNKED if is_chunked else {"Content_Length": str(len(body))}
    (answer,) = web.exchange(post(web, b"/api/v1/messages", framed, **headers))
    assert answer.status == 422


def test_who_expects_100_continue_sends_no_body_that_is_too_large(web: Web):
    with web.connect() as sock:
        sent = {"Expect": "100-continue", "Content_Length": str(17 * MIB)}
        sock.sendall(post(web, b"/api/v1/messages", b"", **sent))
        assert next(answers(sock)).status == 413


def test_who_expects_100_continue_is_asked_for_the_body(web: Web):
    body = json.dumps(SMS).encode()
    with web.connect() as sock:
        sent = {"Expect": "100-continue", "Content_Length": str(len(body))}
        sock.sendall(post(web, b"/api/v1/messages", b"", **sent))
        assert sock.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert next(answers(sock)).status == 202


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/sms", 401),
        ("POST", "/nowhere", 404),
        ("PUT", "/api/v1/messages", 405),
        ("POST", "/api/v1/messages", 401),
        ("POST", "/api/v1/gateway/register", 403),
    ],
)
def test_a_refusal_arrives_however_large_the_body_is(web: Web, method: str, path: str, status: int):
    for size in (339_000, 20 * MIB):
        answer = requests.request(method, web.url + path, data=b"x" * size, timeout=60)
        assert answer.status_code == status


def test_an_unknown_encoding_is_415_after_the_body(web: Web):
    headers = {**web.as_crm, "Content-Encoding": "br"}
    url = web.url + "/api/v1/messages"
    assert requests.post(url, b"x" * 339_000, headers=headers, timeout=60).status_code == 415


def test_a_client_that_ends_within_the_body_is_told_so(web: Web):
    with web.connect() as sock:
        sock.sendall(post(web, b"/api/v1/messages", b"{", Content_Length="2"))
        sock.shutdown(socket.SHUT_WR)
        (answer,) = answers(sock)
    assert (answer.status, answer.json["message"]) == (400, "the body ended early")


def test_requests_sends_a_generator(web: Web):
    text = json.dumps(SMS)
    sent = (letter.encode() for letter in text)
    answer = requests.post(web.url + "/api/v1/messages", sent, headers=web.as_crm, timeout=60)
    assert answer.status_code == 202


NODE = """
const [url, key, body] = process.argv.slice(1)
const sent = require('http').request(url, {
  method: 'POST', headers: {Authorization: key, 'Content-Type': 'application/json'},
}, (answer) => { answer.resume(); console.log(answer.statusCode) })
sent.write(body.slice(0, 5)); sent.end(body.slice(5))
"""


def test_node_sends_without_a_length(web: Web):
    found = node.find() or missing("node is not installed")
    url = web.url + "/api/v1/messages"
    command = [*found.node, "-e", NODE, url, web.as_crm["Authorization"], json.dumps(SMS)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ran.stdout.strip() == "202", ran.stderr
