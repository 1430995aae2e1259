"""The demo server as README commands and phones see it: the real process, real curl, real sockets."""

import base64
import gzip
import http.client
import json
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo.relay import masked
from demo.server import APP_HEADERS

PROGRAM = Path(__file__).parents[2] / "demo" / "server.py"
EMPTY = {
    "requests": [],
    "webapp_terminating": [],
    "webapp_originating": {"waiting": [], "passed_to_gateway": []},
    "status_updates": [],
    "errors": [],
}
HI = {"id": "3E105262-070C-4913-949B-E7ACA4F42B71", "to": "+447700900123", "content": "hi"}

CURL_LIST = "curl http://localhost:8000"
CURL_ERROR = """curl --data '"Something failed!"' http://localhost:8000/error"""
CURL_MESSAGE = (
    'curl -vvv --data \'{ "id": "3E105262-070C-4913-949B-E7ACA4F42B71", "to": "+447700900123", '
    '"content": "hi" }\' http://localhost:8000'
)
CURL_PHONE = (
    'curl http://localhost:8000/app -H "Accept: application/json" -H "Accept-Charset: utf-8" '
    '-H "Accept-Encoding: gzip" -H "Cache-Control: no-cache" -H "Content-Type: application/json" '
    "--data '{}'"
)
CURL_CLEAR = "curl -X DELETE http://localhost:8000"
CURL_AUTH = """curl --data '{"username":"alice", "password":"secret"}' http://localhost:8000/auth"""


class Demo:
    """The running program, what it printed, and a client that never follows or retries."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, str(PROGRAM), "0", "--host", "127.0.0.1", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.greeting = self.lines_until("curl -X DELETE")
        self.port = int(self.greeting[0].split("port ")[1].split(".")[0])

    def lines_until(self, words: str) -> list[str]:
        lines = [self.process.stdout.readline()]
        while words not in lines[-1]:
            assert lines[-1], f"{words!r} was not printed, but {lines}"
            lines.append(self.process.stdout.readline())
        return lines

    def curl(self, command: str, *more: str) -> str:
        words = shlex.split(command.replace("localhost:8000", f"localhost:{self.port}"))
        done = subprocess.run([*words, "-s", *more], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def json(self, method, path, value=None, headers=None):
        body = None if value is None else json.dumps(value)
        status, text, _ = self.ask(method, path, body, headers)
        return status, json.loads(text)

    def raw(self, request: bytes) -> bytes:
        """Everything that comes back when this is sent and nothing more will be."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as line:
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
            return line.makefile("rb").read()

    def post_app(self, text, **headers):
        return self.ask("POST", "/app", text, APP_HEADERS | headers)

    def datastore(self):
        return self.json("GET", "/")[1]["datastore"]

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        printed, _ = self.process.communicate(timeout=30)
        return printed


@pytest.fixture
def demo():
    running = Demo()
    yield running
    running.process.kill()
    running.process.communicate()


def basic(text: str, encoding: str = "utf-8", scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(text.encode(encoding)).decode()}"}


def test_the_readme_commands_give_the_answers_of_the_original(demo):
    assert demo.curl(CURL_LIST) == json.dumps({"datastore": EMPTY, "ok": True}, indent=2)
    error = {"added_error": "Something failed!", "ok": True}
    assert demo.curl(CURL_ERROR) == json.dumps(error, indent=2)
    assert demo.curl(CURL_MESSAGE) == json.dumps({"added_message": HI, "ok": True}, indent=2)
    failed = json.loads(demo.curl(CURL_PHONE))
    assert (failed["err"], failed["method"]) == ("Something failed!", "POST")
    assert demo.curl(CURL_PHONE) == json.dumps({"messages": [HI]}, separators=(",", ":"))
    assert demo.curl(CURL_PHONE) == '{"messages":[]}'
    assert demo.curl(CURL_CLEAR) == '{\n  "ok": true\n}'
    assert json.loads(demo.curl(CURL_LIST))["datastore"] == EMPTY
    assert demo.curl(CURL_AUTH) == '{\n  "ok": true\n}'
    app = f"http://localhost:{demo.port}/app"
    assert demo.curl(f"curl {app}", "-w", "%{http_code}") == '{\n  "err": "Unauthorized"\n}401'
    assert json.loads(demo.curl(f"curl -u alice:secret {app}")) == {
        "medic-gateway": True,
        "ok": True,
    }


def test_the_terminal_shows_the_texts_and_reports_of_each_poll(demo):
    demo.json("POST", "/", HI)
    demo.json("POST", "/", "no message")
    message = {"id": "1", "from": "+12025550147", "content": "hello\n\x1b[31m"}
    updates = [
        {"id": "a", "status": "FAILED", "reason": "generic"},
        {"id": "b", "status": "SENT"},
        None,
    ]
    demo.post_app(json.dumps({"messages": [message], "updates": updates}))
    printed = [line.rstrip("\n").partition(" ")[2] for line in demo.lines_until("?: no message")]
    assert printed[-7:] == [
        "POST /app 200",
        r"  from +12025550147: hello\n\x1b[31m",
        "  a is FAILED (generic)",
        "  b is SENT",
        "  ? is ?",
        "  to +447700900123: hi",
        "  to ?: no message",
    ]


def test_the_six_files_of_the_readme_run_without_the_others(tmp_path):
    text = (PROGRAM.parent / "README.md").read_text()
    (named,) = re.findall(r"For the demo server\nalone, (.*) are\nenough", text, re.DOTALL)
    files = re.findall(r"`(\w+\.py)`", named)
    assert len(files) == 6
    (tmp_path / "demo").mkdir()
    for file in files:
        shutil.copy(PROGRAM.parent / file, tmp_path / "demo")
    command = [sys.executable, "-I", str(tmp_path / "demo" / "server.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "--forward" in done.stdout


def test_the_example_numbers_are_reserved_for_fiction():
    files = [*PROGRAM.parent.glob("*.py"), PROGRAM.parent / "README.md"]
    numbers = [
        number for path in files for number in re.findall(r"\+[1-9]\d{7,}", path.read_text())
    ]
    assert len(numbers) > 5
    assert not [n for n in numbers if not re.match(r"\+(120255501|447700900)", n)]


def test_the_printed_commands_work_as_they_are_pasted(demo):
    commands = [line[line.index("curl ") :] for line in demo.greeting if "curl " in line]
    answers = [json.loads(demo.curl(command)) for command in commands]
    assert [answer.get("ok") for answer in answers] == [True, True, True, None, True, True]
    assert answers[3]["err"] == "Something failed!"
    assert any(f":{demo.port}/app" in line for line in demo.greeting)


@pytest.mark.parametrize("body", [None, [1, 2], {"no": "fields"}, "text", 5, HI])
def test_anything_that_is_json_can_be_queued(demo, body):
    status, text, _ = demo.ask("POST", "/", json.dumps(body))
    assert (status, text) == (200, json.dumps({"added_message": body, "ok": True}, indent=2))
    assert demo.datastore()["webapp_originating"]["waiting"][-1] == body


@pytest.mark.parametrize(
    ("body", "words"), [("not json", "not valid JSON"), ("", "empty"), ("NaN", "not valid JSON")]
)
def test_wrong_json_is_a_clear_error_everywhere(demo, body, words):
    for path in ("/", "/error", "/auth"):
        status, text, _ = demo.ask("POST", path, body)
        assert status == 500
        assert words in json.loads(text)["err"]
    status, text, _ = demo.post_app(body)
    assert status == 500
    assert words in json.loads(text)["err"]


def test_an_error_names_the_method_and_the_twelve_parts_of_the_url(demo):
    status, text, headers = demo.ask("PUT", "/?a=b")
    parts = json.loads(text)["url"]
    assert status == 500
    assert text.startswith('{\n  "err": "Unhandled method.",\n  "method": "PUT",\n  "url": {\n')
    nothing = ["protocol", "slashes", "auth", "host", "port", "hostname", "hash"]
    assert list(parts) == [*nothing, "search", "query", "pathname", "path", "href"]
    assert [parts[key] for key in nothing] == [None] * 7
    assert list(parts.values())[7:] == ["?a=b", "a=b", "/", "/?a=b", "/?a=b"]
    assert "Content-Type" not in headers


@pytest.mark.parametrize(
    ("method", "path"),
    [(m, "/") for m in ("PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND")]
    + [(m, "/app") for m in ("PATCH", "PUT", "DELETE", "HEAD", "OPTIONS")]
    + [("GET", "/auth"), ("PUT", "/auth"), ("GET", "/error")]
    + [(m, path) for m in ("GET", "POST") for path in ("/app/", "//app")]
    + [("GET", "/nowhere"), ("GET", "/APP"), ("GET", "//")],
)
def test_everything_else_is_a_500_without_a_content_type(demo, method, path):
    status, text, headers = demo.ask(method, path)
    assert status == 500
    assert "Content-Type" not in headers
    if method == "HEAD":
        assert text == ""
    elif path in ("/app/", "//app", "/nowhere", "/APP", "//"):
        assert json.loads(text)["err"] == f"Path not found for URL: {path}"
    else:
        assert json.loads(text)["err"]


def test_the_query_does_not_matter_for_the_route(demo):
    assert demo.json("GET", "/app?x=1")[1] == {"medic-gateway": True, "ok": True}


def test_delete_clears_everything_the_password_included(demo):
    demo.json("POST", "/", HI)
    demo.json("POST", "/error", "x")
    demo.json("POST", "/auth", {"username": "a", "password": "b"})
    assert "auth" in demo.datastore()
    assert demo.ask("DELETE", "/")[1] == '{\n  "ok": true\n}'
    assert demo.datastore() == EMPTY
    assert demo.ask("GET", "/app")[0] == 200


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "GET", "PATCH", "TRACE", "PROPFIND", "BREW"]
)
def test_any_method_queues_an_error(demo, method):
    assert demo.json(method, "/error", "x") == (200, {"added_error": "x", "ok": True})


@pytest.mark.parametrize(
    ("queued", "said"),
    [
        ("Something failed!", "Something failed!"),
        ({"a": 1}, "[object Object]"),
        (None, "null"),
        ("", ""),
        ([1, None, "x"], "1,,x"),
        (True, "true"),
    ],
)
def test_a_queued_error_meets_one_good_post_only(demo, queued, said):
    demo.ask("POST", "/error", json.dumps(queued))
    assert demo.ask("GET", "/app")[0] == 200
    assert demo.post_app("{}", Accept="*/*")[0] == 500
    assert demo.datastore()["errors"] == [queued]
    status, text, _ = demo.post_app('{"messages":[{"id":"1"}]}')
    assert (status, json.loads(text)["err"]) == (500, said)
    assert demo.datastore()["webapp_terminating"] == []
    assert demo.post_app("{}")[:2] == (200, '{"messages":[]}')


def test_a_message_is_handed_out_once_and_never_again(demo):
    demo.json("POST", "/", HI)
    assert json.loads(demo.post_app("{}")[1]) == {"messages": [HI]}
    assert json.loads(demo.post_app("{}")[1]) == {"messages": []}
    assert demo.datastore()["webapp_originating"] == {"waiting": [], "passed_to_gateway": [HI]}


def test_what_a_phone_brings_is_kept_without_any_logic(demo):
    body = {
        "messages": [{"id": "m", "from": "+49", "content": "ä😀"}] * 2,
        "updates": [{"id": "u"}],
    }
    assert demo.post_app(json.dumps(body))[0] == 200
    data = demo.datastore()
    assert data["webapp_terminating"] == body["messages"]
    assert data["status_updates"] == body["updates"]
    assert data["requests"][0]["method"] == "POST"
    assert data["requests"][0]["postBody"] == body


@pytest.mark.parametrize("wrong", APP_HEADERS)
def test_each_header_must_have_its_exact_value(demo, wrong):
    status, text, _ = demo.post_app("{}", **{wrong: "*/*"})
    expected = f'Bad value for header "{wrong}": expected "{APP_HEADERS[wrong]}", but got "*/*"'
    assert (status, json.loads(text)["err"]) == (500, expected)
    assert demo.post_app("{}", **{wrong: APP_HEADERS[wrong].upper()})[0] == 500


def test_the_first_wrong_header_is_the_one_named(demo):
    status, text, _ = demo.ask("POST", "/app", "{}")
    assert status == 500
    assert 'header "Accept": expected "application/json"' in json.loads(text)["err"]


@pytest.mark.parametrize(
    "body", ['{"messages":null,"updates":null}', "[]", "{}", '{"messages":{"a":1}}', '"text"', "5"]
)
def test_a_post_without_lists_is_answered(demo, body):
    assert demo.post_app(body)[:2] == (200, '{"messages":[]}')


@pytest.mark.parametrize(
    "body", ['{"messages":"abc"}', '{"messages":5}', '{"updates":true}', "null", "not json", ""]
)
def test_a_post_with_a_wrong_body_is_a_500_that_stores_nothing(demo, body):
    demo.json("POST", "/", HI)
    demo.json("POST", "/error", "for a good request")
    status, text, _ = demo.post_app(body)
    assert status == 500
    assert json.loads(text)["err"] != "for a good request"
    data = demo.datastore()
    assert data["webapp_originating"]["waiting"] == [HI]
    assert data["errors"] == ["for a good request"]


def head_of(method, path, **headers):
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (head_of("POST", "/app", Content_Length=100), b'{"mess'),
        (head_of("POST", "/app", Transfer_Encoding="chunked"), b"9\r\n{}"),
        (head_of("POST", "/app", Transfer_Encoding="chunked"), b"2\r\n{}\r\n"),
    ],
)
def test_a_request_that_was_cut_off_never_came(demo, head, rest):
    demo.json("POST", "/error", "for a good request")
    assert demo.raw(head + rest) == b""
    assert demo.datastore() == EMPTY | {"errors": ["for a good request"]}
    assert "127.0.0.1: POST /app was cut off: " in demo.lines_until("cut off")[-1]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (head_of("POST", "/", Transfer_Encoding="chunked") + b"zz\r\n", "chunk"),
        (head_of("POST", "/", Transfer_Encoding="chunked") + b"-2\r\n", "chunk"),
        (head_of("POST", "/", Transfer_Encoding="chunked") + b"2\r\n{}{}\r\n", "chunk"),
        (head_of("POST", "/", Content_Length="abc"), "Content-Length"),
        (head_of("POST", "/", Content_Length="-5"), "Content-Length"),
        (head_of("POST", "/", Content_Length="9" * 15), "too many"),
        (b"\x16\x03\x01 no HTTP \x1b[31m\r\n\r\n", "Bad request"),
    ],
)
def test_what_is_no_http_is_a_400_in_json(demo, request_, words):
    head, _, body = demo.raw(request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert words in json.loads(body)["err"]
    assert demo.datastore() == EMPTY
    assert "\x1b" not in "".join(demo.lines_until("127.0.0.1: 400 "))


def test_a_path_cannot_steer_the_terminal(demo):
    assert b" 500 " in demo.raw(head_of("GET", "/\x1b[31mred\x9b2J", Connection="close"))
    assert demo.lines_until("GET /")[-1].endswith(r" GET /\x1b[31mred\x9b2J 500" + "\n")


def test_whoever_reads_its_lines_may_leave(demo):
    demo.process.stdout.close()
    for _ in range(3):
        assert demo.ask("GET", "/app")[0] == 200
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.stderr.read() == ""
    assert demo.process.wait(30) == 0


def test_requests_are_recorded_newest_first_but_not_refused_ones(demo):
    demo.ask("GET", "/app", headers={"User-Agent": "one"})
    demo.post_app("{}", Accept="*/*", **{"User-Agent": "two"})
    demo.json("POST", "/auth", {"username": "a", "password": "b"})
    assert demo.ask("GET", "/app")[0] == 401
    requests = demo.datastore()["requests"]
    assert [(r["useragent"], r["method"]) for r in requests] == [("two", "POST"), ("one", "GET")]
    assert list(requests[0]) == ["useragent", "method", "time", "postBody"]
    assert list(requests[1]) == ["useragent", "method", "time"]


@pytest.mark.parametrize(
    "header",
    [
        basic("alice:secret"),
        basic("alice:secret", scheme="Bearer"),
    ],
)
def test_the_right_password_under_any_scheme_is_let_in(demo, header):
    demo.json("POST", "/auth", {"username": "alice", "password": "secret"})
    assert demo.ask("GET", "/app", headers=header)[0] == 200
    assert demo.ask("POST", "/app", "{}", APP_HEADERS | header)[0] == 200


@pytest.mark.parametrize(
    "header", [{}, basic("alice:wrong"), basic("bob:secret"), {"Authorization": "Basic %%%"}]
)
def test_a_wrong_password_is_a_401_without_a_challenge(demo, header):
    demo.json("POST", "/auth", {"username": "alice", "password": "secret"})
    for method in ("GET", "POST", "PUT"):
        status, text, headers = demo.ask(method, "/app", headers=APP_HEADERS | header)
        assert (status, text) == (401, '{\n  "err": "Unauthorized"\n}')
        assert "WWW-Authenticate" not in headers
    assert demo.ask("GET", "/")[0] == 200


@pytest.mark.parametrize(
    ("password", "header"),
    [
        ("a:b:c", basic("alice:a:b:c")),
        ("é", basic("alice:é")),
        ("é", basic("alice:é", "latin-1")),
        ("p@ss", basic("alice:p%40ss")),
        ("50%41", basic("alice:50%41")),
    ],
)
def test_passwords_with_colons_accents_and_signs_work(demo, password, header):
    demo.json("POST", "/auth", {"username": "alice", "password": password})
    assert demo.ask("GET", "/app", headers=header)[0] == 200


def test_auth_is_switched_off_by_null_and_by_delete_and_locks_all_out_when_empty(demo):
    demo.json("POST", "/auth", {})
    assert demo.ask("GET", "/app", headers=basic(":"))[0] == 401
    demo.ask("POST", "/auth", "null")
    assert demo.ask("GET", "/app")[0] == 200
    demo.json("POST", "/auth", {"username": "a", "password": "b"})
    assert demo.ask("DELETE", "/auth")[1] == '{\n  "ok": true\n}'
    assert demo.ask("GET", "/app")[0] == 200
    assert "auth" not in demo.datastore()


def test_one_connection_serves_many_requests_bodies_of_refused_ones_included(demo):
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=30)
    connection.connect()
    used = connection.sock
    for method, path, body in [("POST", "/nowhere", "x" * 5000), ("HEAD", "/app", None)] * 2:
        connection.request(method, path, body)
        connection.getresponse().read()
    connection.request("POST", "/", iter([b'{"a"', b":1}"]), encode_chunked=True)
    assert json.loads(connection.getresponse().read())["added_message"] == {"a": 1}
    connection.request("GET", "/")
    assert connection.getresponse().read().endswith(b'"ok": true\n}')
    assert connection.sock is used
    connection.close()


def test_many_phones_at_once_lose_nothing(demo):
    def post(number):
        return demo.post_app(json.dumps({"messages": [{"id": str(number)}]}))[0]

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(post, range(100))) == {200}
    got = {message["id"] for message in demo.datastore()["webapp_terminating"]}
    assert got == {str(number) for number in range(100)}


def test_ctrl_c_ends_with_a_line_even_while_a_phone_is_connected(demo):
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=30)
    connection.request("GET", "/")
    connection.getresponse().read()
    demo.lines_until("GET / 200")
    assert demo.end() == "\nStopped. Its data is gone.\n"
    assert demo.process.returncode == 0
    connection.close()


def refused_start(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_taken_port_is_one_clear_line(demo):
    done = refused_start(demo.port, "--host", "127.0.0.1")
    assert done.returncode == 1
    assert f"Cannot listen on port {demo.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_files_that_the_readme_names_are_enough(tmp_path):
    readme = (PROGRAM.parent / "README.md").read_text()
    needed = re.search(r"`server.py` needs\s([^:]*):", readme)[1]
    (tmp_path / "demo").mkdir()
    for name in ["server.py", *re.findall(r"`(\w+\.py)`", needed)]:
        shutil.copy(PROGRAM.parent / name, tmp_path / "demo")
    command = [sys.executable, str(tmp_path / "demo" / "server.py"), "--help"]
    assert subprocess.run(command, capture_output=True, timeout=30).returncode == 0


class Upstream(BaseHTTPRequestHandler):
    """Stands for the real server behind --forward: tells what came, answers what it is told."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.came.put((self.path, dict(self.headers), body))
        says = self.server.says
        status, headers, answer = says(self, body) if callable(says) else says
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *args):
        pass


@pytest.fixture
def upstream():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.came = queue.Queue()
    server.says = (200, {"X-From": "real"}, b'{"messages":[]}')
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def relay(upstream):
    running = Demo("--forward", f"http://127.0.0.1:{upstream.server_port}/api/sms")
    yield running
    running.process.kill()
    running.process.communicate()


def test_forward_gives_the_phone_the_other_servers_answer_and_shows_both(relay, upstream):
    upstream.says = (202, {"X-From": "real"}, b'{"messages":[{"id":"out"}]}')
    body = '{"messages":[{"id":"in"}],"updates":[]}'
    status, text, headers = relay.post_app(body, **basic("phone-1:top-secret"))
    assert (status, text, headers["X-From"]) == (202, '{"messages":[{"id":"out"}]}', "real")
    path, sent, came = upstream.came.get(timeout=10)
    assert (path, came.decode()) == ("/api/sms", body)
    assert sent["Authorization"] == basic("phone-1:top-secret")["Authorization"]
    assert {name: sent[name] for name in APP_HEADERS} == APP_HEADERS
    assert [r["method"] for r in relay.datastore()["requests"]] == ["POST"]
    printed = relay.end()
    assert "#1 phone 127.0.0.1 -> POST /app\n    " in printed
    assert "#1 phone 127.0.0.1 <- 202\n    " in printed
    assert "Authorization: Basic phone-1:***" in printed
    assert '"id": "in"' in printed
    assert '"id": "out"' in printed
    assert "secret" not in printed
    assert basic("phone-1:top-secret")["Authorization"] not in printed


def test_forward_shows_a_compressed_answer_in_plain_and_passes_it_as_it_is(relay, upstream):
    packed = gzip.compress(b'{"messages":[{"id":"zipped"}]}')
    upstream.says = (200, {"Content-Encoding": "gzip"}, packed)
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)
    connection.request("POST", "/app", "{}", APP_HEADERS)
    assert connection.getresponse().read() == packed
    connection.close()
    assert '"id": "zipped"' in relay.end()


def test_forward_does_not_follow_a_redirect_and_warns_of_it(relay, upstream):
    upstream.says = (302, {"Location": "/login"}, b"")
    status, _, headers = relay.post_app("{}")
    assert (status, headers["Location"]) == (302, "/login")
    assert "loses what it carried" in relay.end()


def test_forward_to_a_dead_server_is_an_error_the_app_can_show():
    relay = Demo("--forward", "http://127.0.0.1:1/api/sms")
    try:
        status, text, _ = relay.post_app("{}")
        answer = json.loads(text)
        assert (status, answer["error"]) == (502, True)
        assert "does not answer" in answer["message"]
    finally:
        relay.end()


def test_the_greeting_of_forward_has_commands_that_work_when_pasted(relay, upstream):
    account = "phone-1:top-secret"

    def guarded(request, body):
        known = request.headers["Authorization"] == basic(account)["Authorization"]
        return (200, {}, b'{"medic-gateway": true}') if known else (401, {}, b"{}")

    upstream.says = guarded
    app = f"http://DEVICE_ID:PASSWORD@[^ ]+:{relay.port}/app"
    assert [line for line in relay.greeting if re.search(app, line) and "phone" in line]
    commands = [line[line.index("curl ") :] for line in relay.greeting if "curl " in line]
    answers = [
        json.loads(relay.curl(command.replace("DEVICE_ID:PASSWORD", account)))
        for command in commands
    ]
    assert answers[:2] == [{"medic-gateway": True}] * 2
    assert [entry["method"] for entry in answers[2]["datastore"]["requests"]] == ["POST", "GET"]
    assert answers[3:] == [{"ok": True}]


def test_forward_passes_no_stump_on(relay, upstream):
    assert relay.raw(head_of("POST", "/app", Content_Length=100) + b'{"mess') == b""
    assert "cut off: only 6 of 100 bytes arrived" in relay.lines_until("cut off")[-1]
    assert upstream.came.empty()
    assert relay.datastore()["requests"] == []


def test_forward_shows_which_answer_belongs_to_which_request(relay, upstream):
    both_here = threading.Barrier(2, timeout=30)

    def echoed(request, body):
        both_here.wait()
        return 200, {}, body

    upstream.says = echoed
    with ThreadPoolExecutor(2) as pool:
        assert [a[0] for a in pool.map(relay.post_app, ('{"n":"first"}', '{"n":"second"}'))]
    blocks = re.findall(r"#(\d) phone 127.0.0.1 (->|<-)[^#]*\"n\": \"(\w+)\"", relay.end())
    assert {arrow for _, arrow, _ in blocks[:2]} == {"->"}
    assert len({(number, body) for number, _, body in blocks}) == 2
    assert len(blocks) == 4


def test_forward_shows_no_secret_and_lets_nothing_steer_the_terminal(relay, upstream):
    upstream.says = (200, {"Set-Cookie": "session=geheim1", "X-Odd": "a\x9b2J"}, b"{}")
    user = basic("\x1b[31mred\nline:geheim2")
    assert relay.post_app("{}", **user, Cookie="a=geheim3", **{"X-Api-Key": "geheim4"})[0] == 200
    printed = relay.end()
    assert "geheim" not in printed
    assert r"Authorization: Basic \x1b[31mred\nline:***" in printed
    assert r"X-Odd: a\x9b2J" in printed


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", basic("phone-1:pw:pw")["Authorization"], "Basic phone-1:***"),
        ("Authorization", basic("s3crettoken")["Authorization"], "Basic ***"),
        ("Authorization", "Basic %%%", "Basic ***"),
        ("authorization", "Bearer s3cret", "Bearer ***"),
        ("Authorization", "s3cret", "***"),
        ("Authorization", "s3cret s3cret", "***"),
        ("Proxy-Authorization", basic("user:pw")["Authorization"], "Basic user:***"),
        ("X-API-Key", "s3cret", "***"),
        ("X-Auth-Token", "s3cret", "***"),
        ("Cookie", "session=s3cret", "***"),
        ("Set-Cookie", "session=s3cret", "***"),
        ("WWW-Authenticate", 'Basic realm="x"', 'Basic realm="x"'),
        ("Keep-Alive", "timeout=5", "timeout=5"),
        ("User-Agent", "Dalvik", "Dalvik"),
    ],
)
def test_of_a_secret_header_only_the_scheme_and_the_user_are_shown(name, value, shown):
    assert masked(name, value) == shown


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000/api/sms", "must begin with http:// or https://"),
        ("http://127.0.0.1:99999/api/sms", "no such host or port"),
        ("http://127.0.0.1:0/", "no such host or port"),
        ("http://127.0.0.1:abc/", "no such host or port"),
        ("http://:8000/", "no such host or port"),
        ("http://a..b/", "no such host or port"),
        ("http://127.0.0.1/\u00e9", "%C3%A9"),
        ("http://127.0.0.1/a b", "%20"),
        ("http://phone-1:s3cret@127.0.0.1:8000/api/sms", "URL that the phone gets"),
    ],
)
def test_forward_to_a_url_that_cannot_be_is_a_usage_error_at_the_start(url, words):
    done = refused_start(0, "--forward", url)
    assert done.returncode == 2
    assert "argument --forward: " in done.stderr
    assert words in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])
def test_forward_to_the_demo_server_itself_is_a_usage_error(host, listening):
    with socket.socket() as kept:  # a port that the server can have and nobody else takes
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind((listening, 0))
        port = kept.getsockname()[1]
        url = f"http://{host}:{port}/app"
        done = refused_start(port, "--host", listening, "--forward", url)
    assert done.returncode == 2
    assert "this is the demo server itself" in done.stderr
