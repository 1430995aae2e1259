"""A sample CRM: receives webhooks, verifies and prints them, and answers PING with PONG."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import urllib.error
import urllib.request
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `python demo/crm.py`

from demo.verify import Forged, verify

API_TIMEOUT_SECONDS = 30


class Refused(Exception):
    """A call that the server did not accept, in its own words."""


def said(content: bytes) -> str:
    """The server's message and details, or its text where it sends none."""
    try:
        error = json.loads(content)
        return f"{error['message']} {json.dumps(error.get('details') or '')}".removesuffix(' ""')
    except (ValueError, KeyError, TypeError):
        return content.decode("utf-8", "replace").strip()[:500]


class Crm(ThreadingHTTPServer):
    daemon_threads = False  # what has been thanked for is finished before the end

    def __init__(self, address: tuple[str, int], server: str, key: str) -> None:
        super().__init__(address, Receiver)
        self.server = server.rstrip("/")
        self.key = key
        self.secret = ""
        self.seen: dict[str, object] = {}  # a real CRM keeps these in its database

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server}/api/v1{path}", data, method=method)
        request.add_header("Authorization", f"Bearer {self.key}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=API_TIMEOUT_SECONDS) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {path}: {error.code} {said(error.read())}") from error
        except OSError as error:
            raise Refused(f"{self.server} does not answer: {error}") from error
        return json.loads(content) if content else None

    def act_on(self, event: dict[str, Any]) -> None:
        data = event["data"]
        if event["type"] != "message.received" or data["content"].strip().upper() != "PING":
            return
        answer = {"to": data["from"], "content": "PONG", "device_id": data["device_id"]}
        try:  # the reference keeps a repeated PONG from being sent twice
            self.call("POST", "/messages", answer | {"reference": f"pong-{data['id']}"})
            say(f"PONG queued for {data['from']}")
        except Refused as error:
            say(f"no PONG for {data['from']}: {error}")


class Receiver(BaseHTTPRequestHandler):
    server: Crm
    timeout = 30  # seconds for a caller that says nothing

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            verify(self.server.secret, self.headers, body)
        except Forged as error:
            say(f"refused a webhook: {error}")
            return self.answer(error.status)
        id_, mark = self.headers["webhook-id"], object()
        new = self.server.seen.setdefault(id_, mark) is mark  # safe when two come at once
        event = json.loads(body)
        say(f"{event['type']} {in_a_line(event['data'])}" if new else f"{id_} again, ignored")
        self.answer(200)  # first thanks, then work: the server waits for this answer
        return self.server.act_on(event) if new else None

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, *args: Any) -> None:
        """Silent: what matters is printed where it happens."""


def in_a_line(data: dict[str, Any]) -> str:
    if "content" not in data:
        return json.dumps(data)
    place = f"{data.get('from')} -> {data.get('to')} on {data.get('device_id')}"
    # as JSON, so that no SMS can play tricks with the terminal
    return f"{place} ({data.get('status')}): {json.dumps(data['content'], ensure_ascii=False)}"


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


def serve(crm: Crm, url: str) -> None:
    """Registers the webhook, receives until Ctrl-C, and takes the webhook away again."""
    endpoint = crm.call("POST", "/webhooks", {"url": url})
    try:
        crm.secret = endpoint["secret"]
        say(f"webhook {endpoint['id']} goes to {url}; send PING to a phone of yours. Ctrl-C ends.")
        crm.serve_forever()
    except KeyboardInterrupt:
        say("stopping")
    finally:
        crm.call("DELETE", f"/webhooks/{endpoint['id']}")
        say(f"webhook {endpoint['id']} removed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--server", default="http://127.0.0.1:8000", help="the gateway server")
    add("--key", required=True, help="crm_live_…")
    add("--port", type=int, default=9000, help="where this CRM listens")
    add("--public-url", help="how the server reaches it, if not on this machine")
    options = parser.parse_args()
    host = "0.0.0.0" if options.public_url else "127.0.0.1"
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    try:
        with Crm((host, options.port), options.server, options.key) as crm:
            serve(crm, options.public_url or f"http://127.0.0.1:{crm.server_port}/")
    except (Refused, OSError, OverflowError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
