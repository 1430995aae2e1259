"""Replaces cht-gateway's demo server: everything in memory, with only the standard library."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `python demo/server.py`

from demo.addresses import leads_to, own_address, web_address
from demo.exchange import Answer, Exchange
from demo.relay import Relay, Request, credentials
from demo.shapes import (
    Failed,
    as_text,
    compact,
    contents,
    indented,
    lists,
    parsed_json,
    readable,
    url_parts,
)
from demo.terminal import safe, say, write

APP_HEADERS = {
    "Accept": "application/json",
    "Accept-Charset": "utf-8",
    "Accept-Encoding": "gzip",
    "Cache-Control": "no-cache",
    "Content-Type": "application/json",
}
GREETING = """Demo server on port {port}. Press Ctrl-C to end it.
Into the phone (generic build), WebappUrl: http://{address}:{port}/app
(Android 9 and newer refuse plain http: those phones need an https address in front of it.)
what it holds:     curl {url}
send an SMS:       curl --data '{{"id":"{id}","to":"+447700900123","content":"hi"}}' {url}
one error:         curl --data '"Something failed!"' {url}/error
as the phone does: curl {url}/app {headers} --data '{{}}'
set a password:    curl --data '{{"username":"alice", "password":"secret"}}' {url}/auth
clear everything:  curl -X DELETE {url}"""
RELAY_GREETING = """Demo server on port {port}. Press Ctrl-C to end it. /app forwards to {target}
and is shown here. DEVICE_ID and PASSWORD are those of a device there: put them in everywhere.
Into the phone (generic build), WebappUrl: http://DEVICE_ID:PASSWORD@{address}:{port}/app
(Android 9 and newer refuse plain http: those phones need an https address in front of it.)
as the app does when it saves its URL: curl -u DEVICE_ID:PASSWORD {url}/app
as it polls, which takes waiting SMS:  curl -u DEVICE_ID:PASSWORD {url}/app {headers} --data '{{}}'
what was passed on:                    curl {url}
forget that:                           curl -X DELETE {url}"""


def empty_datastore() -> dict[str, Any]:
    """Return what `GET /` shows, in this order; `auth` is added while a password is set."""
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
        self.relay = Relay(forward) if forward else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        say(f"{client_address[0]}: {sys.exception()!r}")


class Handler(Exchange):
    server: DemoServer

    def serve(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        if path == "/app" and self.server.relay:
            with self.server.lock:
                self.record(body)
            phone, headers = self.client_address[0], self.headers.items()
            request = Request(phone, self.command, self.path, headers, body)
            self.reply(self.server.relay.answer(request))
        else:
            answer = self.routed(path, body)
            self.reply(answer)
            say(f"{self.command} {path} {answer.status}")
            if (self.command, path, answer.status) == ("POST", "/app", 200):
                for line in contents(body, answer.body):
                    say(f"  {line}")

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
        messages, updates = lists(parsed_json(body), "messages", "updates")
        if self.server.datastore["errors"]:  # the next good request meets it, and no other
            raise Failed(as_text(self.server.datastore["errors"].pop(0)))
        return Answer(200, [], compact({"messages": self.swap(messages, updates)}))

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

    def swap(self, messages: list[Any], updates: list[Any]) -> list[Any]:
        """Keep what the phone brings; hand out every waiting message once, never again."""
        data = self.server.datastore
        data["webapp_terminating"] += messages
        data["status_updates"] += updates
        waiting: list[Any] = data["webapp_originating"]["waiting"]
        data["webapp_originating"]["passed_to_gateway"] += waiting
        data["webapp_originating"]["waiting"] = []
        return waiting


def greeting(port: int, forward: SplitResult | None) -> str:
    headers = " ".join(f'-H "{name}: {value}"' for name, value in APP_HEADERS.items())
    about = {"port": port, "address": own_address(), "url": f"http://localhost:{port}"}
    if forward:
        return RELAY_GREETING.format(**about, headers=headers, target=forward.geturl())
    return GREETING.format(**about, headers=headers, id="3E105262-070C-4913-949B-E7ACA4F42B71")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", nargs="?", type=int, default=os.environ.get("PORT") or "8000")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")
    forward = partial(web_address, login="they go into the URL that the phone gets")
    parser.add_argument("--forward", type=forward, metavar="URL", help="show and pass on /app")
    options = parser.parse_args()
    try:
        server = DemoServer((options.host, options.port), options.forward)
    except (OSError, OverflowError) as error:
        print(safe(f"Cannot listen on port {options.port}: {error}"), file=sys.stderr)
        return 1
    if options.forward and leads_to(options.forward, server.socket.getsockname()):
        parser.error("argument --forward: this is the demo server itself")
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    try:
        write(greeting(server.server_port, options.forward))
        server.serve_forever()
    except KeyboardInterrupt:
        write("\nStopped. Its data is gone.")
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
