"""The pretend phone as a program: its fleet, its options, what it prints and how it ends."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .gateway_script import CLOSE, GATEWAY, answer, free_port, hand_out, running_script

PROGRAM = Path(__file__).parents[2] / "demo" / "phone.py"


@pytest.fixture
def server():
    with running_script() as running:
        yield running


def command(*arguments):
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def run_phone(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60)


def json_of(done):
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


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
    with subprocess.Popen(
        command(server.url, "--json"), stdout=subprocess.PIPE, text=True
    ) as process:
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
