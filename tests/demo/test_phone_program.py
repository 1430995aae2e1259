"""The simulated phone as a program: its fleet, its options, what it prints and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from demo import phone as program
from demo.fleet import latency_ms

from ..running import free_port
from .gateway_script import CLOSE, GATEWAY, answer, hand_out, running_script

PROGRAM = Path(__file__).parents[2] / "demo" / "phone.py"
FULL = Path("/dev/full")


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
        ["--interval", "inf"],
        ["--rate", "-1"],
        ["--rate", "inf"],
        ["--rate", "nan"],
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


# --- texts of others, readers that leave ---


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize(
    "text", ["lone \ud83d x", "\U0001f600", "\x1b[2J\x9b2J", "two\nlines", "\u202e"]
)
def test_no_text_ends_the_phone_or_steers_the_terminal(server, text, encoding):
    item = {"id": f"id {text}", "to": f"+1202 {text}", "content": text}
    good = {"id": "good", "to": "+1202", "content": text}
    server.script += [GATEWAY, answer({"messages": [item, good]})]
    done = subprocess.run(
        command(server.url, "--polls", 2, "--interval", 0.01),
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode(encoding).splitlines()
    assert all(line.isprintable() for line in lines)
    assert "good" in lines[-1]
    assert "sent 1 x" in lines[-1]
    assert lines[-2].startswith("id ")
    assert "sent 0 x" in lines[-2]


def test_the_json_summary_can_be_read_whatever_the_ids_are(server):
    ids = ["lone \ud83d", "del \x7f", "esc \x1b", "line\nend"]
    server.script += [GATEWAY, hand_out(*ids)]
    done = run_phone(server.url, "--polls", 1, "--json")
    assert list(json_of(done)["messages"]) == ids
    assert "\x7f" not in done.stdout


def test_a_reader_that_leaves_does_not_end_the_phone(server):
    left = threading.Event()
    server.script += [GATEWAY, answer({})]
    server.otherwise = lambda request: left.wait(30) and answer({})
    arguments = command(server.url, "--polls", 4, "--interval", 0.01)
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert "poll with" in process.stdout.readline()
        process.stdout.close()
        left.set()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert [request.method for request in server.requests] == ["GET", *["POST"] * 4]


@pytest.mark.skipif(not FULL.exists(), reason="this system has no full device")
def test_a_full_disk_does_not_end_the_phone(server):
    server.script.append(GATEWAY)
    with FULL.open("wb") as full:
        arguments = command(server.url, "--polls", 2, "--interval", 0.01, "--json")
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(server.requests) == 3


# --- what it says of itself ---


def test_with_the_radio_off_it_does_not_say_that_it_sends(server):
    server.script += [GATEWAY, hand_out("m1")]
    done = run_phone(server.url, "--polls", 1, "--mode", "radio-off")
    assert 'cannot send (radio-off) SMS to +447700900123: "hi"' in done.stdout
    assert "sends" not in done.stdout


@pytest.mark.parametrize(("polls", "unreported"), [(1, 2), (2, 0)])
def test_messages_the_server_was_not_told_of_are_counted(server, polls, unreported):
    def scripted(request):
        if request.method == "GET":
            return GATEWAY
        return answer({}) if request.json["updates"] else hand_out("m1", "m2")

    server.otherwise = scripted
    arguments = [server.url, "--polls", polls, "--interval", 0.01, "--mode", "radio-off"]
    assert json_of(run_phone(*arguments, "--json"))["unreported"] == unreported
    assert ("2 message(s) unreported" in run_phone(*arguments).stdout) == bool(unreported)


@pytest.mark.parametrize(
    ("seconds", "p50", "p99"),
    [([], None, None), ([0.004], 4.0, 4.0), ([0.003, 0.001], 2.0, 3.0), ([0.001] * 200, 1.0, 1.0)],
)
def test_an_even_number_of_answers_has_a_median_too(seconds, p50, p99):
    assert latency_ms(seconds) == {"p50": p50, "p99": p99}


# --- how it does not begin ---


@pytest.mark.parametrize("devices", [1, 3])
def test_a_server_that_never_answers_is_not_waited_for_beyond_the_time(devices):
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/app"
        done = run_phone(url, "--devices", devices, "--seconds", 0.5)
    assert done.returncode == 2
    assert done.stderr == f"The phone cannot use {url}: no answer in 0.5 s\n"


def test_too_many_phones_are_refused_before_the_first_is_made():
    limited = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]
    refused_too = command("no url", "--devices", 999_999)
    done = subprocess.run([*limited, *refused_too], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "2000062 open files are needed and 256 allowed (ulimit -n)\n"


def test_ctrl_c_while_the_phones_are_made_ends_with_an_empty_summary(monkeypatch, capfd):
    def ctrl_c(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "built", ctrl_c)
    assert program.main(["http://127.0.0.1/"]) == 0
    assert "0 phone(s), 0 polls, 0 failed" in capfd.readouterr().out


@pytest.mark.parametrize("url", ["http://phone-1:xu2mme", "http://phone-1:xu2mme@", "xu2mme"])
def test_a_forgotten_host_does_not_show_the_password(url):
    done = run_phone(url)
    assert done.returncode == 2
    assert "must be a valid URL, like http://" in done.stderr
    assert "xu2mme" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"one:\xff\n"])
def test_credentials_that_cannot_be_read_are_one_clear_line(tmp_path, content):
    file = tmp_path / "devices"
    if content:
        file.write_bytes(content)
    done = run_phone("http://127.0.0.1/", "--credentials", file)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{file} cannot be read: ")
    assert len(done.stderr.splitlines()) == 1
