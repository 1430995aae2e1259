"""The pretend phone's modes, its fleet and its command line."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from demo.phone import Mode, Phone, PhoneInHand
from demo.rows import Report

from .gateway_script import CLOSE, answer, free_port, hand_out, running_script

PROGRAM = Path(__file__).parents[2] / "demo" / "phone.py"
GATEWAY = answer({"medic-gateway": True})


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
        told = {update["id"] for update in request.json["updates"]}
        self.waiting = [id_ for id_ in self.waiting if id_ not in told]
        return hand_out(*self.waiting[:10])


@pytest.fixture
def server():
    with running_script() as running:
        yield running


def run_phone(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def json_of(done):
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


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


# --- command line ---


def test_one_phone_prints_what_it_does_and_a_table(server):
    server.script += [GATEWAY, answer({}), hand_out("m1")]
    done = run_phone(
        server.url, "--polls", 2, "--interval", 0.05, "--receive", "hello from +491511234567"
    )
    assert done.returncode == 0, done.stderr
    assert 'sends SMS to +447700900123: "hi"' in done.stdout
    assert "1 received SMS forwarded" in done.stdout
    assert "m1" in done.stdout.splitlines()[-1]
    assert "sent 1 x" in done.stdout.splitlines()[-1]
    sms = server.requests[1].json["messages"][0]
    assert (sms["content"], sms["from"]) == ("hello", "+491511234567")


def test_the_json_summary_has_the_fate_of_every_message(server):
    server.script += [GATEWAY, hand_out("m1", "m2"), answer({}, status=500)]
    done = run_phone(server.url, "--polls", 3, "--interval", 0.01, "--speed", 1e6, "--json")
    result = json_of(done)
    assert result["devices"] == 1
    assert result["polls"] == 3
    assert result["errors"] == 1
    assert result["error_kinds"] == {"HTTP 500": 1}
    assert result["sent_twice"] == []
    to = "+447700900123"
    assert result["messages"]["m1"] == {"to": to, "sent": 1, "last_status": "DELIVERED"}
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]


def test_an_sms_sent_by_two_phones_is_named_and_the_exit_code_is_1(server):
    server.otherwise = lambda request: GATEWAY if request.method == "GET" else hand_out("m1")
    arguments = [server.url, "--devices", 2, "--polls", 1, "--interval", 0.01]
    done = run_phone(*arguments, "--json")
    assert done.returncode == 1
    assert json_of(done)["sent_twice"] == ["m1"]
    assert "SENT MORE THAN ONCE: m1" in run_phone(*arguments).stdout


def test_many_phones_have_an_account_each_and_print_a_histogram(server):
    def one_each(request):
        if request.method == "GET":
            return GATEWAY
        return hand_out(f"for-{request.header('Authorization')}")

    server.otherwise = one_each
    url = server.url_for("demo-{n}:secret")
    done = run_phone(url, "--devices", 100, "--polls", 1, "--interval", 0.5)
    assert done.returncode == 0, done.stderr
    assert "100 messages sent 1 x" in done.stdout
    assert len({request.header("Authorization") for request in server.requests}) == 100


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is all there is")
@pytest.mark.parametrize(("count", "own"), [(1, {"127.0.0.1"}), (251, None)])
def test_many_phones_on_this_machine_have_an_address_each(server, count, own):
    server.otherwise = lambda request: GATEWAY if request.method == "GET" else answer({})
    done = run_phone(server.url, "--devices", count, "--polls", 1, "--interval", 0.5)
    assert done.returncode == 0, done.stderr
    polls = [request for request in server.requests if request.method == "POST"]
    peers = {request.peer[0] for request in polls}
    assert len(peers) == len(polls) == count
    assert own is None or peers == own


def test_credentials_come_from_a_file(server, tmp_path):
    server.otherwise = lambda request: GATEWAY if request.method == "GET" else answer({})
    file = tmp_path / "devices"
    file.write_text("one:aaa\ntwo:bbb\n\n")
    every = ["--credentials", file, "--polls", 1, "--interval", 0.01, "--json"]
    assert json_of(run_phone(server.url, *every))["devices"] == 2
    assert json_of(run_phone(server.url, *every, "--devices", 1))["devices"] == 1
    accounts = {request.header("Authorization") for request in server.requests}
    assert accounts == {"Basic b25lOmFhYQ==", "Basic dHdvOmJiYg=="}
    many = run_phone(server.url, "--credentials", file, "--devices", 3, "--polls", 1)
    assert many.returncode == 2
    assert "has 2 lines, too few" in many.stderr


def test_sms_arrive_at_the_given_rate_until_the_time_is_over(server):
    server.otherwise = lambda request: GATEWAY if request.method == "GET" else answer({})
    result = json_of(
        run_phone(server.url, "--devices", 5, "--rate", 1200, "--seconds", 2, "--json")
    )
    assert result["received_forwarded"] > 0
    senders = [m["from"] for r in server.requests if r.json for m in r.json["messages"]]
    assert all(sender.startswith("+447700900") for sender in senders)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_the_summary(server, sign):
    polled = threading.Event()
    server.script.append(GATEWAY)
    server.otherwise = lambda request: polled.set() or answer({})
    command = [sys.executable, str(PROGRAM), server.url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert polled.wait(30)
        process.send_signal(sign)
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(printed)["devices"] == 1


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (answer({}, status=401), "authorisation failed"),
        (answer({}, status=404), "URL not responding in expected way"),
        (CLOSE, "unable to contact server"),
    ],
)
def test_a_url_the_app_would_not_save_is_refused_with_the_apps_words(server, says, words):
    server.script.append(says)
    done = run_phone(server.url_for("demo:secret"), "--polls", 1)
    assert done.returncode == 2
    assert words in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--receive", "hello"],
        ["--interval", "0"],
        ["--devices", "0"],
        ["--mode", "odd"],
        ["--polls", "x"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_clear_line(arguments):
    done = run_phone(f"http://127.0.0.1:{free_port()}/", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert arguments[0] in done.stderr
