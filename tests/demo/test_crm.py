"""The sample CRM against a scripted REST server, its webhooks signed by the reference library."""

import base64
import http.client
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standardwebhooks import Webhook

PROGRAM = Path(__file__).parents[2] / "demo" / "crm.py"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEY = "crm_live_test"
URL = "http://127.0.0.1:9000/"
RECEIVED = {
    "id": "msg-1",
    "direction": "inbound",
    "device_id": "phone-1",
    "from": "+491511234567",
    "to": None,
    "content": "hello",
    "status": "received",
}


class Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        value = json.loads(body) if body else None
        call = (self.command, self.path, self.headers["Authorization"], value)
        self.server.calls.put(call)
        says = self.server.says[self.command, self.path.split("/")[3]]
        says = says() if callable(says) else says
        if isinstance(says, bytes):
            self.wfile.write(says)
            self.close_connection = True
            return
        status, answer = says
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = serve

    def log_message(self, *args):
        pass


@pytest.fixture
def rest():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    server.calls = queue.Queue()
    server.says = {
        ("POST", "webhooks"): (201, {"id": "we_1", "url": URL, "secret": SECRET}),
        ("GET", "webhooks"): (200, {"data": [{"id": "we_1", "url": URL}]}),
        ("DELETE", "webhooks"): (204, None),
        ("POST", "messages"): (202, {"id": "msg-2"}),
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class RunningCrm:
    def __init__(self, rest):
        url = f"http://127.0.0.1:{rest.server_port}"
        command = [sys.executable, str(PROGRAM), "--server", url, "--key", KEY, "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.first = self.process.stdout.readline()
        self.registered = rest.calls.get(timeout=30)
        assert rest.calls.get(timeout=30)[:2] == ("GET", "/api/v1/webhooks")
        self.port = int(self.registered[3]["url"].rpartition(":")[2].strip("/"))

    def deliver(self, body, id_="evt_1", at=None, secret=SECRET, signature=None, signed=None):
        at = at or datetime.now(UTC)
        if signature is None:
            signature = Webhook(secret).sign(id_, at, signed or body)
        headers = {
            "webhook-id": id_,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }
        return self.post(body, headers)

    def post(self, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/", body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def end(self, sign=signal.SIGINT):
        self.process.send_signal(sign)
        return self.process.communicate(timeout=30)[0]


@pytest.fixture
def crm(rest):
    running = RunningCrm(rest)
    yield running
    running.process.kill()
    running.process.communicate()


def event(type_="message.received", **changes):
    data = RECEIVED | changes
    return json.dumps({"id": "evt_1", "type": type_, "timestamp": "…Z", "data": data})


def test_it_registers_its_address_with_its_key(crm):
    method, path, authorization, body = crm.registered
    assert (method, path) == ("POST", "/api/v1/webhooks")
    assert authorization == f"Bearer {KEY}"
    assert body == {"url": f"http://127.0.0.1:{crm.port}/"}
    assert "we_1" in crm.first


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_removes_its_webhook_when_it_ends(crm, rest, sign):
    printed = crm.end(sign)
    assert rest.calls.get(timeout=30)[:2] == ("DELETE", "/api/v1/webhooks/we_1")
    assert "webhook we_1 removed" in printed
    assert crm.process.returncode == 0


@pytest.mark.parametrize(
    ("says", "words"),
    [(b"", "does not answer"), ((401, {"message": "Unknown key."}), "401 Unknown key.")],
)
def test_a_webhook_that_it_cannot_remove_is_named_with_what_to_do(crm, rest, says, words):
    rest.says["DELETE", "webhooks"] = says
    crm.process.send_signal(signal.SIGINT)
    _, problem = crm.process.communicate(timeout=30)
    assert crm.process.returncode == 1
    assert problem.startswith("webhook we_1 is still registered on the server (")
    assert words in problem
    assert f"curl -X DELETE http://127.0.0.1:{rest.server_port}/api/v1/webhooks/we_1" in problem
    assert len(problem.splitlines()) == 1
    assert KEY not in problem


def test_a_webhook_that_somebody_else_removed_is_no_problem(crm, rest):
    rest.says["DELETE", "webhooks"] = (404, {"message": "No such webhook."})
    assert "webhook we_1 was removed by somebody else" in crm.end()
    assert crm.process.returncode == 0


def test_it_removes_what_an_earlier_run_left_at_its_address(rest):
    left = [{"id": "we_0", "url": URL}, {"id": "we_9", "url": "https://other.example/"}]
    rest.says["GET", "webhooks"] = (200, {"data": [*left, {"id": "we_1", "url": URL}]})
    crm = RunningCrm(rest)
    assert rest.calls.get(timeout=30)[:2] == ("DELETE", "/api/v1/webhooks/we_0")
    crm.end()
    assert rest.calls.get(timeout=30)[:2] == ("DELETE", "/api/v1/webhooks/we_1")
    assert rest.calls.empty()


def test_it_prints_what_arrives(crm):
    assert crm.deliver(event(content="grüße \x9b2J")) == 200
    assert crm.deliver(event("device.offline"), id_="evt_2") == 200
    printed = crm.end()
    assert 'message.received +491511234567 -> phone-1 (received): "grüße \\x9b2J"' in printed
    assert "device.offline" in printed


def test_a_message_sent_shows_the_phone_it_goes_by(crm):
    sent = {"direction": "outbound", "from": None, "to": "+12025550123", "status": "sent"}
    crm.deliver(event("message.sent", **sent))
    crm.deliver(event("message.queued", **sent, device_id=None), id_="evt_2")
    printed = crm.end()
    assert 'message.sent phone-1 -> +12025550123 (sent): "hello"' in printed
    assert 'message.queued any phone -> +12025550123 (sent): "hello"' in printed


def test_an_event_without_a_message_is_printed_as_it_is(crm):
    ping = json.dumps({"id": "e", "type": "webhook.ping", "timestamp": "…Z", "data": {"a": 1}})
    assert crm.deliver(ping) == 200
    assert 'webhook.ping {"a": 1}' in crm.end()


def test_a_ping_is_answered_with_one_pong_from_the_same_phone(crm, rest):
    assert crm.deliver(event(content=" Ping\n")) == 200
    method, path, authorization, body = rest.calls.get(timeout=30)
    assert (method, path, authorization) == ("POST", "/api/v1/messages", f"Bearer {KEY}")
    assert body == {
        "to": "+491511234567",
        "content": "PONG",
        "device_id": "phone-1",
        "reference": "pong-msg-1",
    }


def test_only_an_inbound_ping_is_answered(crm, rest):
    crm.deliver(event(content="PINGPONG"))
    crm.deliver(event("message.sent", content="PING"), id_="evt_2")
    crm.end()
    assert [rest.calls.get(timeout=30)[0]] == ["DELETE"]
    assert rest.calls.empty()


def test_an_event_that_comes_again_is_thanked_and_ignored(crm, rest):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: crm.deliver(event(content="PING")), range(8)))
    assert answers == [200] * 8
    assert rest.calls.get(timeout=30)[1] == "/api/v1/messages"
    printed = crm.end()
    assert rest.calls.get(timeout=30)[0] == "DELETE"
    assert rest.calls.empty()
    assert printed.count("message.received") == 1


def test_a_refused_pong_is_said_and_it_goes_on(crm, rest):
    error = {"error": True, "code": "no_device", "message": "No such phone.", "details": {}}
    rest.says["POST", "messages"] = (422, error)
    assert crm.deliver(event(content="PING")) == 200
    assert rest.calls.get(timeout=30)[1] == "/api/v1/messages"
    assert crm.deliver(event(), id_="evt_2") == 200
    assert "no PONG for +491511234567: POST /messages: 422 No such phone." in crm.end()


def test_a_tampered_body_is_refused(crm):
    assert crm.deliver(event(content="forged"), signed=event(content="true")) == 401
    printed = crm.end()
    assert "forged" not in printed
    assert "refused a webhook: no signature matches" in printed


def test_another_secret_is_refused(crm):
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    assert crm.deliver(event(), secret=other) == 401


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_timestamp_more_than_five_minutes_off_is_refused(crm, minutes):
    assert crm.deliver(event(), at=datetime.now(UTC) + timedelta(minutes=minutes)) == 400


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_timestamp_within_five_minutes_is_taken(crm, minutes):
    assert crm.deliver(event(), at=datetime.now(UTC) + timedelta(minutes=minutes)) == 200


@pytest.mark.parametrize("signature", ["", "v1,", "nonsense", "v1a,abc", "v2,abc"])
def test_a_wrong_signature_header_is_refused(crm, signature):
    assert crm.deliver(event(), signature=signature) == 401


@pytest.mark.parametrize("stamp", ["", "soon", "-5", "1.5", "9" * 5000])
def test_a_missing_or_wrong_timestamp_is_refused(crm, stamp):
    signature = Webhook(SECRET).sign("evt_1", datetime.now(UTC), event())
    headers = {"webhook-id": "evt_1", "webhook-timestamp": stamp, "webhook-signature": signature}
    assert crm.post(event(), headers) == 400
    assert crm.post(event(), {}) == 400


def test_one_good_signature_among_several_is_enough(crm):
    good = Webhook(SECRET).sign("evt_1", datetime.now(UTC), event())
    assert crm.deliver(event(), signature=f"v1,AAAA {good} v1a,BBBB") == 200


@pytest.mark.parametrize(("length", "status"), [("abc", b" 400 "), ("-1", b" 400 "), ("100", b"")])
def test_a_webhook_without_its_whole_body_is_not_taken(crm, length, status):
    with socket.create_connection(("127.0.0.1", crm.port), timeout=30) as line:
        line.sendall(f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{{}}".encode())
        line.shutdown(socket.SHUT_WR)
        answer = line.makefile("rb").read()
    assert answer[8:13] == status
    crm.process.send_signal(signal.SIGINT)
    assert crm.process.communicate(timeout=30)[1] == ""


def refused_start(*arguments):
    command = [sys.executable, str(PROGRAM), "--key", KEY, "--port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_refused_address_shows_the_servers_own_words(rest):
    error = {
        "error": True,
        "code": "invalid",
        "message": "127.0.0.1 is private; see SMSGW_WEBHOOK_ALLOWED_NETWORKS.",
        "details": {"url": ["is private"], "hint": "open it"},
    }
    rest.says["POST", "webhooks"] = (422, error)
    done = refused_start("--server", f"http://127.0.0.1:{rest.server_port}")
    assert done.returncode == 1
    assert "422 127.0.0.1 is private; see SMSGW_WEBHOOK_ALLOWED_NETWORKS." in done.stderr
    assert '"hint": "open it"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_one_clear_line():
    done = refused_start("--server", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "http://127.0.0.1:1 does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_public_url_is_registered_as_given(rest):
    rest.says["POST", "webhooks"] = (401, {"error": True, "message": "Unknown key."})
    url = "https://crm.example/hook"
    done = refused_start("--server", f"http://127.0.0.1:{rest.server_port}", "--public-url", url)
    assert "401 Unknown key." in done.stderr
    assert rest.calls.get(timeout=30)[3] == {"url": url}


def test_what_the_message_says_is_not_said_again_with_the_details(rest):
    error = {"message": "url: Not a URL.", "details": {"url": ["Not a URL."]}}
    rest.says["POST", "webhooks"] = (422, error)
    done = refused_start("--server", f"http://127.0.0.1:{rest.server_port}")
    assert done.stderr == "POST /webhooks: 422 url: Not a URL.\n"


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "as no smsgw server does"),
        ((200, []), "as no smsgw server does"),
        ((200, {}), "as no smsgw server does"),
        ((200, 5), "as no smsgw server does"),
        (b"HTTP/1.1 302 Found\r\nLocation: /api/v1/x\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"SSH-2.0-OpenSSH \x1b[2J\r\n", "does not answer: SSH-2.0-OpenSSH \\x1b[2J"),
    ],
)
def test_another_kind_of_server_is_one_clear_line(rest, says, words):
    rest.says["POST", "webhooks"] = says
    done = refused_start("--server", f"http://127.0.0.1:{rest.server_port}")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert rest.calls.get(timeout=30)[0] == "POST"
    assert rest.calls.empty()


def test_a_start_that_fails_half_way_leaves_no_webhook(rest):
    rest.says["GET", "webhooks"] = (500, {"message": "Broken."})
    done = refused_start("--server", f"http://127.0.0.1:{rest.server_port}")
    assert (done.returncode, done.stderr) == (1, "GET /webhooks: 500 Broken.\n")
    calls = [rest.calls.get(timeout=30)[:2] for _ in range(3)]
    assert calls[2] == ("DELETE", "/api/v1/webhooks/we_1")


@pytest.fixture
def hang():
    """What a server that does not answer says, until the test is over."""
    over = threading.Event()
    yield lambda: over.wait(30) and b""
    over.set()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_the_server_does_not_answer_is_one_clear_line(rest, hang, sign):
    rest.says["POST", "webhooks"] = hang
    url = f"http://127.0.0.1:{rest.server_port}"
    command = [sys.executable, str(PROGRAM), "--server", url, "--key", KEY, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert rest.calls.get(timeout=30)[0] == "POST"
        process.send_signal(sign)
        problem = process.communicate(timeout=20)[1]
    assert (process.returncode, len(problem.splitlines())) == (1, 1)
    assert problem.startswith("Stopped.")


def test_a_second_ctrl_c_gives_up_the_removal_and_names_the_webhook(crm, rest, hang):
    rest.says["DELETE", "webhooks"] = hang
    crm.process.send_signal(signal.SIGINT)
    assert rest.calls.get(timeout=30)[0] == "DELETE"
    crm.process.send_signal(signal.SIGINT)
    problem = crm.process.communicate(timeout=20)[1]
    assert crm.process.returncode == 1
    assert problem.startswith("webhook we_1 is still registered on the server (interrupted)")
    assert len(problem.splitlines()) == 1


def test_white_space_around_the_key_is_not_part_of_it(rest):
    rest.says["POST", "webhooks"] = (401, {"message": "Unknown key."})
    url = f"http://127.0.0.1:{rest.server_port}"
    assert "Unknown key." in refused_start("--server", url, "--key", f" {KEY}\r\n").stderr
    assert rest.calls.get(timeout=30)[2] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--key", "schl\u00fcssel\u20ac", "consists of ASCII"),
        ("--key", "crm_live_s3cret\r\nX: y", "consists of ASCII"),
        ("--key", "", "consists of ASCII"),
        ("--server", "127.0.0.1:18423", "must begin with http:// or https://"),
        ("--server", "http://127.0.0.1:abc", "no such host or port"),
        ("--server", "http://user:s3cret@127.0.0.1:8000", "leave the user and the password out"),
    ],
)
def test_wrong_usage_is_one_clear_line_without_the_key(option, value, words):
    done = refused_start(option, value)
    assert done.returncode == 2
    assert f"argument {option}: " in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
    assert "schl" not in done.stderr


def test_a_port_in_use_is_named(rest):
    done = refused_start("--port", str(rest.server_port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot listen on port {rest.server_port}: ")
    assert len(done.stderr.splitlines()) == 1
