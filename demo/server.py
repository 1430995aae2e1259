"""A drop-in for cht-gateway's demo server: everything in memory, the standard library only."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `python demo/server.py`

from demo.relay import Answer, credentials, relay, say
from demo.shapes import Failed, as_text, compact, indented, listed, parsed_json, readable, url_parts

APP_HEADERS = {
    "Accept": "application/json",
    "Accept-Charset": "utf-8",
    "Accept-Encoding": "gzip",
    "Cache-Control": "no-cache",
    "Content-Type": "application/json",
}
GREETING = """Demo server on port {port}. Ctrl-C ends it.
Into the phone (generic build), WebappUrl: http://{address}:{port}/app
(Android 9 and newer refuse plain http: those phones need an https address in front of it.)
what it holds:     curl {url}
send an SMS:       curl --data '{{"id":"{id}","to":"+447123555888","content":"hi"}}' {url}
one error:         curl --data '"Something failed!"' {url}/error
as the phone does: curl {url}/app {headers} --data '{{}}'
set a password:    curl --data '{{"username":"alice", "password":"secret"}}' {url}/auth
clear everything:  curl -X DELETE {url}"""


def empty_datastore() -> dict[str, Any]:
    """What `GET /` shows, in this order; `auth` joins it while a password is set."""
    datastore: dict[str, Any] = {"requests": [], "webapp_terminating": []}
    datastore["webapp_originating"] = {"waiting": [], "passed_to_gateway": []}
    return datastore | {"status_updates": [], "errors": []}


def ok(**content: Any) -> Answer:
    return Answer(200, [], indented(content | {"ok": True}))


class DemoServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], forward: SplitResult | None = None) -> None:
        super().__init__(address, Handler)
        self.datastore = empty_datastore()
        self.lock = threading.Lock()
        self.forward = forward

    def handle_error(self, request: Any, client_address: Any) -> None:
        say(f"{client_address[0]}: {sys.exception()!r}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet
    server: DemoServer

    def handle_any(self) -> None:
        body = self.read_body()
        path = self.path.partition("?")[0]
        if path == "/app" and self.server.forward:
            with self.server.lock:
                self.record(body)
            headers = self.headers.items()
            self.reply(relay(self.server.forward, self.command, self.path, headers, body))
        else:
            answer = self.routed(path, body)
            say(f"{self.command} {path} {answer.status}")
            self.reply(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def routed(self, path: str, body: bytes) -> Answer:
        routes = {"/": self.root, "/app": self.app, "/error": self.error, "/auth": self.auth}
        try:
            if path not in routes:
                raise Failed(f"Path not found for URL: {self.path}")
            with self.server.lock:
                return routes[path](body)
        except Failed as error:
            about = {"err": str(error), "method": self.command, "url": url_parts(self.path)}
            return Answer(500, [], indented(about))

    def root(self, body: bytes) -> Answer:
        if self.command == "GET":
            return ok(datastore=self.server.datastore)
        if self.command == "POST":
            message = parsed_json(body)
            self.server.datastore["webapp_originating"]["waiting"].append(message)
            return ok(added_message=message)
        if self.command == "DELETE":
            self.server.datastore = empty_datastore()
            return ok()
        raise Failed("Unhandled method.")

    def error(self, body: bytes) -> Answer:
        error = parsed_json(body)
        self.server.datastore["errors"].append(error)
        return ok(added_error=error)

    def auth(self, body: bytes) -> Answer:
        if self.command not in ("POST", "DELETE"):
            raise Failed("Unhandled method.")
        auth = parsed_json(body) if self.command == "POST" else None
        if auth is not None and not isinstance(auth, dict):
            raise Failed('Expected {"username": …, "password": …}, or null for no password.')
        self.server.datastore["auth"] = auth
        if self.command == "DELETE":
            del self.server.datastore["auth"]
        return ok()

    def app(self, body: bytes) -> Answer:
        if not self.allowed():
            return Answer(401, [], indented({"err": "Unauthorized"}))
        if self.command not in ("GET", "POST"):
            raise Failed("Unhandled method.")
        self.record(body)
        if self.command == "GET":
            return ok(**{"medic-gateway": True})
        self.check_headers()
        if self.server.datastore["errors"]:
            raise Failed(as_text(self.server.datastore["errors"].pop(0)))
        return Answer(200, [], compact({"messages": self.swap(parsed_json(body))}))

    def allowed(self) -> bool:
        auth = self.server.datastore.get("auth")
        if auth is None:
            return True
        user, password = credentials(self.headers.get("Authorization", ""))
        wanted = auth.get("username"), auth.get("password")
        # the app percent-encodes the password typed into it, and nobody decodes it on the way
        return wanted in ((user, password), (user, unquote(password)))

    def record(self, body: bytes) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        request: dict[str, Any] = {"useragent": self.headers.get("User-Agent")}
        request |= {"method": self.command, "time": now}
        if self.command == "POST":
            request["postBody"] = readable(body)
        self.server.datastore["requests"].insert(0, request)

    def check_headers(self) -> None:
        for name, wanted in APP_HEADERS.items():
            if (got := self.headers.get(name, "undefined")) != wanted:
                raise Failed(f'Bad value for header "{name}": expected "{wanted}", but got "{got}"')

    def swap(self, body: Any) -> list[Any]:
        """Keeps what the phone brings; every waiting message is handed out once, never again."""
        if body is None:
            raise Failed('The body is null, an object with "messages" and "updates" was expected.')
        messages, updates = listed(body, "messages"), listed(body, "updates")
        data = self.server.datastore
        data["webapp_terminating"] += messages
        data["status_updates"] += updates
        waiting: list[Any] = data["webapp_originating"]["waiting"]
        data["webapp_originating"]["passed_to_gateway"] += waiting
        data["webapp_originating"]["waiting"] = []
        return waiting

    def read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = self.headers.get("Content-Length", "0")
            return self.rfile.read(int(length) if length.isdecimal() else 0)
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue
        return b"".join(chunks)

    def reply(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers or [("Date", self.date_time_string())]:
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        say(f"{self.client_address[0]}: {format % args}")


def own_address() -> str:
    """This machine's address in its network; choosing a route sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def greeting(port: int) -> str:
    headers = " ".join(f'-H "{name}: {value}"' for name, value in APP_HEADERS.items())
    url, id_ = f"http://localhost:{port}", "3E105262-070C-4913-949B-E7ACA4F42B71"
    return GREETING.format(port=port, address=own_address(), url=url, id=id_, headers=headers)


def web_address(text: str) -> SplitResult:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no http:// or https:// address")
    return url


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", nargs="?", type=int, default=os.environ.get("PORT") or "8000")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")
    parser.add_argument("--forward", type=web_address, metavar="URL", help="show and pass on /app")
    options = parser.parse_args()
    try:
        server = DemoServer((options.host, options.port), options.forward)
    except (OSError, OverflowError) as error:
        print(f"Cannot listen on port {options.port}: {error}", file=sys.stderr)
        return 1
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    try:
        print(greeting(server.server_port), flush=True)
        if options.forward:
            print(f"What phones send to /app goes to {options.forward.hostname}, shown here.")
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nStopped. What it held is gone.", flush=True)
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
