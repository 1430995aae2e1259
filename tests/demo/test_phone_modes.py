"""The simulated phone's modes, and what overlaps or hangs."""

import asyncio
import random
import threading
from collections import Counter

import pytest

from demo.phone import Mode, Phone, PhoneInHand
from demo.rows import Report

from .gateway_script import CLOSE, GATEWAY, answer, hand_out, running_script


class CarefulServer:
    """Hands out each message until the phone tells of it, and keeps every SMS once."""

    def __init__(self, count):
        self.waiting = [f"m{n}" for n in range(count)]
        self.received = {}
        self.repeats = 0

    def __call__(self, request):
        if request.method == "GET":
            return GATEWAY
        for message in request.json["messages"]:
            self.repeats += message["id"] in self.received
            self.received[message["id"]] = message
        reported = {update["id"] for update in request.json["updates"]}
        self.waiting = [id_ for id_ in self.waiting if id_ not in reported]
        return hand_out(*self.waiting[:10])


@pytest.fixture
def server():
    with running_script() as running:
        yield running


# --- modes ---


def test_a_flaky_line_repeats_much_loses_nothing_and_sends_nothing_twice(server):
    careful = server.otherwise = CarefulServer(10)
    with PhoneInHand(server.url, Mode.FLAKY, rng=random.Random(7), speed=1e6) as phone:
        polls = []
        for _ in range(60):
            phone.handset.receive("in", "+491511234567", phone.phone.now())
            polls += phone.wake()
        errors = Counter(poll.error for poll in polls if poll.error)
        received = set(phone.handset.received)
        waiting = {message.id for message in phone.handset.batch().messages}
    assert set(errors) == {
        "no connection",
        "cut while sending",
        "cut before the answer",
        "answer lost",
    }
    assert careful.repeats > 0
    assert received - waiting <= set(careful.received) <= received
    assert [fate.sent for fate in phone.ledger.messages.values()] == [1] * 10


def test_a_seed_makes_the_faults_repeatable(server):
    def errors(seed):
        with PhoneInHand(server.url, Mode.FLAKY, rng=random.Random(seed)) as phone:
            return [phone.poll_once().error for _ in range(20)]

    assert errors(1) == errors(1)
    assert errors(1) != errors(2)


def test_duplicate_sends_identical_polls_that_overlap(server):
    both_here = threading.Barrier(2, timeout=30)

    def overlapping(request):
        both_here.wait()
        return hand_out("m1")

    server.otherwise = overlapping
    with PhoneInHand(server.url, Mode.DUPLICATE) as phone:
        phone.handset.receive("in", "+491511234567", phone.phone.now())
        phone.wake()
        phone.wake()
    first, second, third, fourth = server.requests
    assert first.raw == second.raw
    assert len(first.ids()) == 1
    assert third.raw == fourth.raw
    assert phone.ledger.forwarded == 1
    assert phone.ledger.messages["m1"].sent == 1


def test_duplicate_polls_twice_too_when_an_sms_arrives(server):
    both_here = threading.Barrier(2, timeout=30)
    server.script += [lambda request: both_here.wait() is None or hand_out("m1")] * 2
    with PhoneInHand(server.url, Mode.DUPLICATE) as phone:
        assert phone.receive("in", "+491511234567").ok
    first, second = server.requests
    assert first.raw == second.raw
    assert len(first.ids()) == 1
    assert phone.ledger.forwarded == 1
    assert phone.ledger.messages["m1"].sent == 1


def test_silent_never_polls_again_after_its_first_hand_out(server):
    with PhoneInHand(server.url, Mode.SILENT) as phone:
        phone.wake()
        server.script.append(hand_out("m1"))
        phone.wake()
        assert phone.wake() == []
        assert phone.receive("in", "+491511234567") is None
    assert len(server.requests) == 2
    assert phone.ledger.messages["m1"].sent == 1


def test_silent_is_silent_too_when_the_first_hand_out_answers_an_sms_that_came(server):
    with PhoneInHand(server.url, Mode.SILENT) as phone:
        server.script.append(hand_out("m1"))
        assert phone.receive("in", "+491511234567").handed_out == 1
        assert phone.wake() == []
    assert len(server.requests) == 1
    assert phone.ledger.messages["m1"].sent == 1


def test_slow_sends_its_request_in_pieces_with_pauses(server):
    pauses = []

    async def sleep(seconds):
        pauses.append((seconds, len(server.requests)))

    with PhoneInHand(server.url, Mode.SLOW, pause=0.3, sleep=sleep) as phone:
        assert phone.poll_once().ok
    assert len(pauses) >= 8
    assert {seconds for seconds, _ in pauses} == {0.3}
    assert pauses[0] == (0.3, 0)
    assert server.requests[0].raw == b'{"messages":[],"updates":[]}'


def test_v1_7_tells_no_unsent_does_not_loop_and_does_not_poll_for_an_sms(server):
    with PhoneInHand(server.url, Mode.V1_7, speed=1e6) as phone:
        for _ in range(25):
            assert phone.receive("in", "+491511234567") is None
        server.script.append(hand_out("m1"))
        phone.wake()
        phone.wake()
    assert [len(request.ids()) for request in server.requests] == [10, 10]
    assert server.requests[1].statuses("m1")[0] == "PENDING"
    assert server.requests[0].header("User-Agent").endswith("medic.gateway.alert.generic/v1.7.4")


def test_v1_7_gives_up_at_once_where_v1_8_would_retry(server):
    off = [Report(0, "retry", "radio-off")]
    with PhoneInHand(server.url, Mode.V1_7, network=lambda message: off) as phone:
        server.script.append(hand_out("m1"))
        phone.wake()
        phone.wake()
    assert server.requests[1].statuses() == ["PENDING", "FAILED"]


def test_v1_7_gives_all_reports_of_a_round_to_its_first_message(server):
    sent = [Report(0, "sent")]
    with PhoneInHand(server.url, Mode.V1_7, network=lambda message: sent) as phone:
        server.script.append(hand_out("m1", "m2"))
        phone.wake()
        phone.wake()
    assert server.requests[1].statuses("m1") == ["PENDING", "SENT"]
    assert server.requests[1].statuses("m2") == ["PENDING"]


def test_v1_7_posts_again_at_once_when_the_line_broke(server):
    server.script += [CLOSE, answer({})]
    with PhoneInHand(server.url, Mode.V1_7) as phone:
        phone.wake()
    assert len(server.requests) == 2


# --- time ---


def test_a_hanging_request_holds_back_the_sending_for_as_long_as_it_hangs(server):
    came, go_on = threading.Event(), threading.Event()

    def hang(request):
        came.set()
        assert go_on.wait(30)
        return answer({})

    with PhoneInHand(server.url) as phone:
        server.script += [hand_out("m1"), hang]
        phone.poll_once()
        waking = threading.Thread(target=phone.wake)
        waking.start()
        assert came.wait(30)
        assert phone.ledger.messages["m1"].sent == 0
        go_on.set()
        waking.join()
        assert phone.ledger.messages["m1"].sent == 1


def test_a_timeout_is_an_error_where_one_is_set(server):
    go_on = threading.Event()
    server.otherwise = lambda request: go_on.wait(30) and answer({})
    with PhoneInHand(server.url, timeout=0.05) as phone:
        assert phone.poll_once().error == "TimeoutError"
        go_on.set()


def test_an_alarm_and_an_incoming_sms_overlap_with_the_same_items(server):
    both_here = threading.Barrier(2, timeout=30)
    server.script += [lambda request: both_here.wait() is None or answer({})] * 2

    async def overlap():
        phone = Phone(server.url)
        phone.handset.receive("old", "+491511234567", phone.now())
        poll, _ = await asyncio.gather(phone.poll_once(), phone.receive("new", "+491511234567"))
        phone.close()
        return poll

    assert asyncio.run(overlap()).ok
    first, second = sorted(server.requests, key=lambda request: len(request.ids()))
    assert set(first.ids()) < set(second.ids())
