"""The transport against real sockets: hostile receivers, hostile names, broken TLS."""

import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from ipaddress import ip_network
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsgw.addresses import Guard, check_url
from smsgw.allowed_addresses import parse_allowed
from smsgw.delivery.http_answers import retry_after
from smsgw.delivery.http_sender import Transport
from smsgw.settings import PROJECT_FOLDER
from tests.delivery.misbehaving import (
    Misbehaving,
    answer,
    answers,
    answers_once,
    closes_at_once,
    closes_the_second_time,
    drips,
    floods,
    greets,
    gzip_bomb,
    never_answers,
    says_nothing,
)
from tests.running import free_port

LOOPBACK = Guard((ip_network("127.0.0.0/8"),))
DEADLINE_SECONDS = 0.6
# Far above the deadline, far below what any of these servers would hold a client for.
SLOW_MACHINE_SECONDS = 5
NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
BODY = b'{"id":"evt_1"}'


@pytest.fixture
def made():
    """Makes transports that end with the test."""
    all_made = []

    def make(guard=LOOPBACK, **wanted):
        all_made.append(Transport(guard, **{"now": lambda: NOW, **wanted}))
        return all_made[-1]

    yield make
    for transport in all_made:
        transport.close()


@pytest.fixture
def transport(made):
    return made()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for crm.test and nothing else: the file with it and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "crm.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=crm.test",
            "-addext",
            "subjectAltName=DNS:crm.test",
            "-keyout",
            path,
            "-out",
            f"{path}.crt",
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_name("crm.pem.crt").read_text())
    return path


@pytest.fixture
def server_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def post(transport, url, seconds=10.0, body=BODY, headers=None):
    """The outcome, which has to come soon after the deadline."""
    results = SimpleQueue()
    transport.post(url, body, headers or {}, seconds, results.put)
    return results.get(timeout=seconds + SLOW_MACHINE_SECONDS)


def test_a_request_arrives_with_its_exact_body_and_headers(transport):
    with Misbehaving(answers(answer("200 OK", b"thanks"))) as server:
        headers = {"Content-Type": "application/json", "webhook-id": "evt_1"}
        outcome = post(transport, f"{server.url}?token=1", headers=headers)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    assert head.startswith(b"POST /hook?token=1 HTTP/1.1\r\n")
    for header in (b"Content-Type: application/json", b"webhook-id: evt_1"):
        assert header in head
    assert b"Accept-Encoding: identity" in head
    assert re.search(rb"User-Agent: smsgw/\d", head)
    assert outcome.is_success
    assert (outcome.status_code, outcome.error, outcome.response_text) == (200, None, "thanks")
    assert outcome.duration_seconds >= 0


def test_a_large_body_is_sent_without_asking_first(transport):
    with Misbehaving(answers(answer())) as server:
        assert post(transport, server.url, body=b"x" * 3_000_000).is_success
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert b"expect" not in head.lower()
    assert body == b"x" * 3_000_000


@pytest.mark.parametrize(
    ("status", "is_success"),
    [(200, True), (202, True), (204, True), (299, True), (400, False), (410, False), (500, False)],
)
def test_2xx_and_nothing_else_is_success(transport, status, is_success):
    with Misbehaving(answers(answer(f"{status} Word"))) as server:
        outcome = post(transport, server.url)
    assert (outcome.status_code, outcome.is_success, outcome.error) == (status, is_success, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(transport, status):
    with Misbehaving(answers(answer())) as elsewhere:
        moved = answer(f"{status} Moved", b"", f"Location: {elsewhere.url}")
        with Misbehaving(answers(moved)) as server:
            outcome = post(transport, server.url)
    assert (outcome.status_code, outcome.is_success) == (status, False)
    assert elsewhere.requests == []


def test_a_connection_is_used_again(transport):
    opened = []

    def behave(line, server):
        opened.append(line)
        answers(answer("200 OK", b"thanks"))(line, server)

    with Misbehaving(behave) as server:
        assert all(post(transport, server.url).is_success for _ in range(5))
    assert (len(server.requests), len(opened)) == (5, 1)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nX-Slow: "), id="header-drips"),
        pytest.param(drips(b"H", b""), id="half-a-status-line"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nContent-Le", b""), id="half-a-header"),
        pytest.param(
            drips(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
            id="continue-drips",
        ),
        pytest.param(never_answers, id="never-answers"),
        pytest.param(says_nothing, id="never-reads"),
    ],
)
def test_the_deadline_holds_for_a_receiver_that_takes_its_time(transport, behaviour):
    with Misbehaving(behaviour) as server:
        outcome = post(transport, server.url, DEADLINE_SECONDS)
    assert (outcome.status_code, outcome.error) == (None, "timeout")
    assert DEADLINE_SECONDS * 0.9 <= outcome.duration_seconds < SLOW_MACHINE_SECONDS


def test_the_deadline_holds_for_a_body_that_drips_but_its_status_counts(transport):
    with Misbehaving(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")) as server:
        outcome = post(transport, server.url, DEADLINE_SECONDS)
    assert outcome.is_success
    assert set(outcome.response_text) <= {"a"}
    assert outcome.duration_seconds < SLOW_MACHINE_SECONDS


def test_the_deadline_holds_for_a_receiver_that_stops_reading(transport):
    with Misbehaving(says_nothing) as server:
        outcome = post(transport, server.url, DEADLINE_SECONDS, b"x" * 30_000_000)
    assert outcome.error == "timeout"
    assert outcome.duration_seconds < SLOW_MACHINE_SECONDS


def test_the_deadline_holds_for_a_tls_handshake(transport):
    with Misbehaving(says_nothing) as server:
        url = server.url.replace("http:", "https:")
        outcome = post(transport, url, DEADLINE_SECONDS)
    assert outcome.error == "timeout"
    assert outcome.duration_seconds < SLOW_MACHINE_SECONDS


# Stands in for a DNS that is never heard of again.
SILENT_DNS = """
#include <netdb.h>
#include <unistd.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r)
{
    sleep(600);
    return EAI_AGAIN;
}
"""
ASKS_THE_DNS = """
import sys, time
from ipaddress import ip_network
from queue import SimpleQueue
from smsgw.addresses import Guard
from smsgw.delivery.http_sender import Transport

transport, late, well = Transport(Guard((ip_network("127.0.0.0/8"),))), SimpleQueue(), SimpleQueue()
transport.post("http://crm.test/", b"", {}, 0.6, late.put)
transport.post(sys.argv[1], b"", {}, 10, well.put)
assert well.get().is_success
assert late.empty()
outcome = late.get()
assert 0.5 < outcome.duration_seconds < 5
transport.close()
print(outcome.error, outcome.detail)
"""


def test_the_deadline_holds_for_the_dns_which_holds_up_nothing_else(tmp_path):
    """In a process of its own, which ends although the system still waits for an answer there."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler to put something in the place of the system's resolver")
    library = tmp_path / "silent.so"
    command = ["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"]
    subprocess.run(command, input=SILENT_DNS, text=True, check=True)
    with Misbehaving(answers(answer())) as server:
        done = subprocess.run(
            [sys.executable, "-c", ASKS_THE_DNS, server.url],
            cwd=PROJECT_FOLDER,
            env={"LD_PRELOAD": str(library)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stdout == "timeout The DNS did not answer in time for crm.test.\n", done.stderr


def test_a_receiver_that_does_not_take_the_connection_is_a_timeout(transport):
    # Linux keeps one connection more than it was told to, and leaves the next without an answer.
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
    ):
        outcome = post(transport, f"http://127.0.0.1:{full.getsockname()[1]}/", DEADLINE_SECONDS)
    assert outcome.error == "timeout"
    assert outcome.detail == "127.0.0.1 did not take the connection in time."


def test_a_kept_connection_has_the_deadline_of_its_own_request(transport):
    def behave(line, server):
        server.read_request(line)
        line.sendall(answer())
        drips(b"HTTP/1.1 200 OK\r\nX: ")(line, server)

    with Misbehaving(behave) as server:
        assert post(transport, server.url, 30).is_success
        outcome = post(transport, server.url, DEADLINE_SECONDS)
    assert outcome.error == "timeout"
    assert outcome.duration_seconds < SLOW_MACHINE_SECONDS


def test_a_body_without_end_is_cut(transport):
    with Misbehaving(floods) as server:
        outcome = post(transport, server.url)
    assert outcome.is_success
    assert outcome.response_text == "x" * 4096


def test_a_gzip_bomb_is_not_unpacked(transport):
    with Misbehaving(answers_once(gzip_bomb())) as server:
        outcome = post(transport, server.url)
    assert outcome.is_success
    assert len(outcome.response_text) < 100


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"a\x00b", "ab"),
        ("Grüße 😀".encode(), "Grüße 😀"),
        (b"\xff\xfe ok", "\ufffd\ufffd ok"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    ],
)
def test_the_answer_becomes_text_a_database_takes(transport, body, text):
    with Misbehaving(answers(answer("500 Oops", body))) as server:
        assert post(transport, server.url).response_text == text


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"hello\r\n",
        b"\x00\xff\x00\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 10_000 + b"\r\n",
    ],
    ids=lambda nonsense: nonsense[:12],
)
def test_an_answer_that_is_not_http_is_a_failure(transport, nonsense):
    with Misbehaving(answers_once(nonsense)) as server:
        outcome = post(transport, server.url)
    assert outcome.status_code is None
    assert outcome.error == ("protocol" if nonsense else "connection_lost")


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_header_that_breaks_off_is_no_answer(transport, part):
    with Misbehaving(answers_once(part)) as server:
        outcome = post(transport, server.url)
    assert (outcome.status_code, outcome.error) == (None, "connection_lost")


def test_a_body_that_breaks_off_changes_nothing(transport):
    part = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nthanks\r\n0\r\nX-Trailer: 1\r\n"
    )
    with Misbehaving(answers_once(part)) as server:
        outcome = post(transport, server.url)
    assert (outcome.status_code, outcome.response_text) == (200, "thanks")


def test_what_comes_before_the_answer_is_not_the_answer(transport):
    hints = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n"
    with Misbehaving(answers(hints + answer("503 Busy", b"", "Retry-After: 9"))) as server:
        outcome = post(transport, server.url)
    assert (outcome.status_code, outcome.retry_after_seconds) == (503, 9)


def resets(line):
    """Make closing the connection a reset."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def dies_at_once(line, server):
    pass


def dies_in_the_head(line, server):
    line.recv(1)
    resets(line)


def dies_in_the_body(line, server):
    while b"\r\n\r\n" not in line.recv(65536, socket.MSG_PEEK):
        server.stopping.wait(0.01)
    line.recv(200)
    resets(line)


def dies_after_the_request(line, server):
    server.read_request(line)


def resets_after_the_request(line, server):
    server.read_request(line)
    resets(line)


def dies_in_the_answer(line, server):
    server.read_request(line)
    line.sendall(b"HTTP/1.1 200 O")


DEATHS = [
    dies_at_once,
    dies_in_the_head,
    dies_in_the_body,
    dies_after_the_request,
    resets_after_the_request,
    dies_in_the_answer,
]


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("is_kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("body", [BODY, b"x" * 3_000_000], ids=["short", "long"])
def test_one_attempt_is_one_request_wherever_the_connection_dies(made, death, is_kept, body):
    heads = []

    def behave(line, server):
        for _ in range(is_kept):
            server.read_request(line)
            come.wait(SLOW_MACHINE_SECONDS)
            line.sendall(answer())
        if line.recv(1, socket.MSG_PEEK):
            heads.append(line)
            death(line, server)

    # Six kept connections: libcurl would use up one after the other.
    transport, come = made(), threading.Barrier(6)
    with Misbehaving(behave) as server:
        results = SimpleQueue()
        for _ in range(6 * is_kept):
            transport.post(server.url, BODY, {}, 10.0, results.put)
        assert all(results.get(timeout=15).is_success for _ in range(6 * is_kept))
        outcome = post(transport, server.url, body=body)
    assert outcome.error == "connection_lost", outcome
    assert len(heads) == 1
    assert len(server.requests) <= 6 * is_kept + 1


def test_only_the_port_that_is_open_is_reached_by_address_and_by_name(made):
    with Misbehaving(answers(answer())) as opened, Misbehaving(answers(answer())) as other:
        for host in ("127.0.0.1", "localhost"):
            guard = Guard((parse_allowed(f"{host}:{opened.port}"),))
            assert post(made(guard), f"http://{host}:{opened.port}/").is_success
            assert post(made(guard), f"http://{host}:{other.port}/").error == "address_refused"
    assert other.requests == []


def test_a_connection_that_ended_between_two_requests_is_replaced_without_a_failure(transport):
    ended = threading.Event()

    def behave(line, server):
        server.read_request(line)
        line.sendall(answer())
        line.close()
        ended.set()

    with Misbehaving(behave) as server:
        for number in range(3):
            assert post(transport, server.url).is_success, number
            assert ended.wait(SLOW_MACHINE_SECONDS)
            ended.clear()
    assert len(server.requests) == 3


def test_a_receiver_that_has_gone_refuses_the_connection_once(transport):
    with Misbehaving(answers_once(answer())) as server:
        url = server.url
        assert post(transport, url).is_success
    assert post(transport, url).error == "connection_refused"


def test_a_connection_that_was_idle_for_seconds_is_not_used_again(transport):
    opened = []

    def behave(line, server):
        opened.append(line)
        answers(answer())(line, server)

    with Misbehaving(behave) as server:
        assert post(transport, server.url).is_success
        time.sleep(2.2)
        assert post(transport, server.url).is_success
    assert len(opened) == 2


def test_a_closed_port_refuses_the_connection(transport):
    outcome = post(transport, f"http://127.0.0.1:{free_port()}/")
    assert (outcome.status_code, outcome.error) == (None, "connection_refused")


def test_an_unknown_name_is_a_dns_failure(transport):
    # Longer than a name can be, so no DNS needs to be asked.
    host = f"{'nowhere' * 10}.test"
    outcome = post(transport, f"https://{host}/")
    assert (outcome.error, host in outcome.detail) == ("dns", True)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://[::1", "https://a..b/"])
def test_a_url_that_cannot_be_used_is_an_outcome(transport, url):
    assert post(transport, url).error in ("invalid_url", "dns", "address_refused")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "[64:ff9b::7f00:1]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_a_private_address_is_connected_to(made, host, scheme):
    with Misbehaving(answers(answer())) as server:
        outcome = post(made(Guard()), f"{scheme}://{host}:{server.port}/")
    assert outcome.error in ("address_refused", "dns", "invalid_url")
    assert server.requests == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1", "fd00::1"]
)
def test_a_name_that_leads_elsewhere_after_the_check_is_refused_at_the_connection(made, address):
    def public(_host, port, *_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]

    with Misbehaving(answers(answer())) as server:
        url = f"https://crm.test:{server.port}/"
        check_url(url, Guard(), public)
        outcome = post(made(Guard(), names=[f"crm.test:{server.port}:{address}"]), url)
    assert outcome.error == "address_refused"
    assert "SMSGW_WEBHOOK_ALLOWED_NETWORKS" in outcome.detail
    assert address not in outcome.detail
    assert server.requests == []


def test_ipv4_written_as_ipv6_is_what_it_leads_to(transport):
    with Misbehaving(answers(answer())) as server:
        assert post(transport, f"http://[::ffff:127.0.0.1]:{server.port}/").is_success


def test_refused_addresses_are_passed_over_and_the_others_tried_in_turn(made):
    # The first may not be called, at the second nobody listens.
    with Misbehaving(answers(answer())) as server:
        transport = made(names=[f"crm.test:{server.port}:10.0.0.1,127.0.0.2,127.0.0.1"])
        outcome = post(transport, f"http://crm.test:{server.port}/")
    assert outcome.is_success
    assert b"Host: crm.test:" in server.requests[0]


def test_a_closed_port_counts_for_more_than_an_address_that_was_passed_over(made):
    port = free_port()
    transport = made(names=[f"crm.test:{port}:10.0.0.1,127.0.0.1"])
    assert post(transport, f"http://crm.test:{port}/").error == "connection_refused"


def test_plain_http_to_a_public_address_is_refused(made):
    outcome = post(made(Guard(), names=["crm.test:80:8.8.8.8"]), "http://crm.test/")
    assert outcome.error == "address_refused"
    assert "https" in outcome.detail


def test_a_self_signed_certificate_is_refused(made, server_tls):
    with Misbehaving(answers(answer()), tls=server_tls) as server:
        transport = made(names=[f"crm.test:{server.port}:127.0.0.1"])
        outcome = post(transport, f"https://crm.test:{server.port}/")
    assert outcome.error == "tls"
    assert outcome.detail == (
        "The receiver's certificate is not accepted: self-signed certificate."
    )
    assert server.requests == []


def trusting(made, server, certificate):
    """A transport that takes the certificate's word, and finds the server under two names."""
    names = [f"{host}.test:{server.port}:127.0.0.1" for host in ("crm", "other")]
    return made(names=names, trusted=str(certificate))


def test_a_certificate_for_another_name_is_refused(made, certificate, server_tls):
    with Misbehaving(answers(answer()), tls=server_tls) as server:
        transport = trusting(made, server, certificate)
        right = post(transport, f"https://crm.test:{server.port}/")
        wrong = post(transport, f"https://other.test:{server.port}/")
    assert right.is_success
    assert wrong.error == "tls"
    assert "other.test" in wrong.detail


def test_the_deadline_holds_for_a_tls_receiver_that_drips(made, certificate, server_tls):
    with Misbehaving(drips(b"HTTP/1.1 200 OK\r\nX: "), tls=server_tls) as server:
        transport = trusting(made, server, certificate)
        outcome = post(transport, f"https://crm.test:{server.port}/", 1.0)
    assert outcome.error == "timeout"
    assert outcome.duration_seconds < SLOW_MACHINE_SECONDS


def test_a_kept_tls_connection_that_dies_is_one_request(made, certificate, server_tls):
    with Misbehaving(closes_the_second_time, tls=server_tls) as server:
        transport = trusting(made, server, certificate)
        url = f"https://crm.test:{server.port}/"
        assert post(transport, url).is_success
        assert post(transport, url).error == "connection_lost"
    assert len(server.requests) == 2


def test_a_receiver_without_tls_is_a_tls_failure(transport):
    with Misbehaving(greets) as server:
        outcome = post(transport, server.url.replace("http:", "https:"))
    assert outcome.error == "tls"


def test_a_receiver_that_hangs_up_in_the_handshake_is_lost(transport):
    with Misbehaving(lambda line, _: line.recv(65536)) as server:
        outcome = post(transport, server.url.replace("http:", "https:"))
    assert outcome.error == "connection_lost"


def test_the_systems_own_authorities_are_trusted(made, certificate, server_tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Misbehaving(answers(answer()), tls=server_tls) as server:
        transport = made(names=[f"crm.test:{server.port}:127.0.0.1"])
        assert post(transport, f"https://crm.test:{server.port}/").is_success


@pytest.mark.parametrize("behaviour", [closes_at_once, answers_once(b"nonsense"), never_answers])
def test_no_failure_tells_the_query_or_the_password(transport, caplog, behaviour):
    caplog.set_level("DEBUG")
    with Misbehaving(behaviour) as server:
        url = f"http://user:hunter2@127.0.0.1:{server.port}/p4th?token=t0ps3cret"
        outcome = post(transport, url, DEADLINE_SECONDS)
    shown = f"{outcome}{caplog.text}"
    assert outcome.error is not None
    assert not any(secret in shown for secret in ("hunter2", "t0ps3cret", "p4th"))


def test_environment_and_cookies_are_ignored(transport, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    (tmp_path / ".netrc").write_text("default login user password hunter2")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Misbehaving(answers(answer("200 OK", b"", "Set-Cookie: a=b; Path=/"))) as server:
        assert post(transport, server.url).is_success
        assert post(transport, server.url).is_success
    assert b"cookie" not in server.requests[1].lower()
    assert b"authorization" not in server.requests[1].lower()


def test_a_login_in_the_url_becomes_a_header(transport):
    with Misbehaving(answers(answer())) as server:
        url = f"http://us%40er:pass@127.0.0.1:{server.port}/h%2Fo//ok?q=ä#part"
        assert post(transport, url).is_success
    head = server.requests[0]
    assert head.startswith(b"POST /h%2Fo//ok?q=%C3%A4 HTTP/1.1\r\n")
    assert b"Authorization: Basic dXNAZXI6cGFzcw==\r\n" in head


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("1.5", 1.5),
        ("0", 0),
        ("Mon, 04 May 2026 12:02:00 GMT", 120),
        ("Mon, 04 May 2026 14:02:00 +0200", 120),
        ("Mon, 04 May 2026 11:00:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after(header, NOW) == seconds


@given(st.one_of(st.text(), st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]\d+")))
def test_retry_after_takes_any_nonsense(header):
    seconds = retry_after(header, NOW)
    assert seconds is None or seconds >= 0


def test_retry_after_stands_in_the_outcome(transport):
    busy = answer("503 Busy", b"", "Retry-After: Mon, 04 May 2026 12:01:00 GMT")
    with Misbehaving(answers(busy)) as server:
        assert post(transport, server.url).retry_after_seconds == 60
