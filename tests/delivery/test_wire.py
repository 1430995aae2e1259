"""One thread for all requests: many at once, faults of ours, and its end."""

import os
import resource
import threading
from collections import Counter
from contextlib import ExitStack
from queue import Empty, SimpleQueue

import pytest

from smsgw.delivery.http_sender import Transport
from tests.conftest import NOW
from tests.delivery.misbehaving import Misbehaving, answer, answers
from tests.delivery.test_transport import BODY, LOOPBACK, post

PATIENCE_SECONDS = 60
MANY = 200
# More than select() can look at.
DESCRIPTORS = 1100


@pytest.fixture
def transport():
    made = Transport(LOOPBACK, now=lambda: NOW)
    yield made
    made.close()


def broken(*_):
    raise RuntimeError("a bug")


def test_many_requests_run_at_the_same_time_in_one_thread():
    come, results = threading.Barrier(MANY), SimpleQueue()

    def answers_when_all_have_come(line, server):
        server.read_request(line)
        come.wait(PATIENCE_SECONDS)
        line.sendall(answer("200 OK", b"ok"))

    def tell(outcome):
        results.put((outcome.response_text, threading.get_ident()))

    bodies = [f"body {number}".encode() for number in range(MANY)]
    with Misbehaving(answers_when_all_have_come) as server, ExitStack() as stack:
        transport = Transport(LOOPBACK)
        stack.callback(transport.close)
        for body in bodies:
            transport.post(server.url, body, {}, PATIENCE_SECONDS, tell)
        outcomes = Counter(results.get(timeout=PATIENCE_SECONDS) for _ in bodies)
    assert [(text, count) for (text, _), count in outcomes.items()] == [("ok", MANY)]
    assert sorted(r.partition(b"\r\n\r\n")[2] for r in server.requests) == sorted(bodies)


def test_many_threads_share_one_transport(transport):
    results = SimpleQueue()

    def send(number):
        for repeat in range(20):
            transport.post(
                server.url, f"{number} {repeat}".encode(), {}, PATIENCE_SECONDS, results.put
            )

    with Misbehaving(answers(answer())) as server:
        threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        assert all(results.get(timeout=PATIENCE_SECONDS).is_success for _ in range(8 * 20))
        for thread in threads:
            thread.join()
    assert len(set(server.requests)) == 8 * 20


def test_descriptors_may_have_any_number(transport):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2 * DESCRIPTORS), limits[1]))
    taken = [os.dup(0) for _ in range(DESCRIPTORS)]
    try:
        with Misbehaving(answers(answer())) as server:
            assert post(transport, server.url).is_success
            assert post(transport, server.url).is_success
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_bug_before_a_request_is_logged_and_told_and_stops_no_other(transport, caplog):
    results = SimpleQueue()
    with Misbehaving(answers(answer())) as server:
        transport.post(server.url, BODY, {"X-Odd": "\ud800"}, PATIENCE_SECONDS, results.put)
        assert results.get(timeout=PATIENCE_SECONDS) is None
        assert post(transport, server.url).is_success
    assert "could not begin a request" in caplog.text


def test_a_bug_after_an_answer_is_logged_and_told_and_stops_no_other(caplog):
    clocks, results = iter([lambda: NOW, broken, lambda: NOW, lambda: NOW]), SimpleQueue()
    transport = Transport(LOOPBACK, now=lambda: next(clocks)())
    with Misbehaving(answers(answer())) as server:
        transport.post(server.url, BODY, {}, PATIENCE_SECONDS, results.put)
        assert results.get(timeout=PATIENCE_SECONDS) is None
        assert post(transport, server.url).is_success
    transport.close()
    assert "a bug" in caplog.text


def test_a_bug_in_who_is_told_stops_no_other(transport, caplog):
    with Misbehaving(answers(answer())) as server:
        transport.post(server.url, BODY, {}, PATIENCE_SECONDS, broken)
        assert post(transport, server.url).is_success
    assert "a bug" in caplog.text


def test_a_bug_in_the_guard_lets_nothing_through(transport, monkeypatch, caplog):
    monkeypatch.setattr(type(LOOPBACK), "permits_over", broken)
    with Misbehaving(answers(answer())) as server:
        outcome = post(transport, server.url)
    assert outcome.error == "connection_failed"
    assert server.requests == []
    assert "a bug" in caplog.text


def test_nothing_outlives_the_end():
    results, has_ended = SimpleQueue(), threading.Event()

    def waits_for_the_end(line, server):
        server.read_request(line)
        has_come.set()
        if not line.recv(1):
            has_ended.set()

    has_come = threading.Event()
    transport = Transport(LOOPBACK)
    with Misbehaving(waits_for_the_end) as server:
        transport.post(server.url, BODY, {}, PATIENCE_SECONDS, results.put)
        assert has_come.wait(PATIENCE_SECONDS)
        transport.close()
        transport.close()
        assert has_ended.wait(PATIENCE_SECONDS)
    with pytest.raises(Empty):
        results.get_nowait()
