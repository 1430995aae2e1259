"""A sample CRM: receives webhooks, verifies and prints them, and answers PING with PONG."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `python demo/crm.py`

from demo.addresses import web_address
from demo.api import Api, Refused
from demo.exchange import CutOff, Malformed, read_body
from demo.terminal import safe, say
from demo.verify import Forged, verify


class Crm(ThreadingHTTPServer):
    daemon_threads = False  # what has been thanked for is finished before the end

    def __init__(self, address: tuple[str, int], api: Api) -> None:
        super().__init__(address, Receiver)
        self.api = api
        self.secret = ""
        self.seen: dict[str, object] = {}  # a real CRM keeps these in its database

    def handle_error(self, request: Any, client_address: Any) -> None:
        say(f"{client_address[0]}: {sys.exception()!r}")

    def act_on(self, event: dict[str, Any]) -> None:
        data = event["data"]
        if event["type"] != "message.received" or (data["content"] or "").strip().upper() != "PING":
            return
        answer = {"to": data["from"], "content": "PONG", "device_id": data["device_id"]}
        try:  # the reference keeps a repeated PONG from being sent twice
            self.api.call("POST", "/messages", answer | {"reference": f"pong-{data['id']}"})
            say(f"PONG queued for {data['from']}")
        except Refused as error:
            say(f"no PONG for {data['from']}: {error}")


class Receiver(BaseHTTPRequestHandler):
    server: Crm
    timeout = 30  # seconds for a caller that says nothing

    def do_POST(self) -> None:
        try:
            body = read_body(self.headers, self.rfile)
            verify(self.server.secret, self.headers, body)
        except CutOff as error:
            return say(f"a webhook was cut off: {error}")
        except (Malformed, Forged) as error:
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
        """Log nothing: what matters is printed where it happens."""

    def log_message(self, format: str, *args: Any) -> None:
        say(f"{self.client_address[0]}: {format % args}")


def in_a_line(data: dict[str, Any]) -> str:
    if "content" not in data:
        return json.dumps(data)
    device = data.get("device_id") or "any phone"
    place = f"{data.get('from') or device} -> {data.get('to') or device}"
    text = json.dumps(data["content"], ensure_ascii=False)
    return f"{place} ({data.get('status')}): {text}"


def serve(crm: Crm, url: str) -> None:
    """Register the webhook, receive until Ctrl-C, and remove the webhook again."""
    endpoint = crm.api.call("POST", "/webhooks", {"url": url}, wanted=("id", "url", "secret"))
    try:
        crm.secret = endpoint["secret"]
        remove_older(crm, endpoint)
        say(
            f"webhook {endpoint['id']} goes to {url}; send PING to one of your phones. Press Ctrl-C to end."
        )
        crm.serve_forever()
    except KeyboardInterrupt:
        say("stopping")
    finally:
        remove(crm, endpoint["id"])


def remove_older(crm: Crm, endpoint: dict[str, Any]) -> None:
    """Remove the webhooks that earlier runs left at this address; nobody knows their secrets any more."""
    for old in crm.api.call("GET", "/webhooks", wanted=["data"])["data"]:
        if old["url"] == endpoint["url"] and old["id"] != endpoint["id"]:
            remove(crm, old["id"])


def remove(crm: Crm, id_: str) -> None:
    try:
        crm.api.call("DELETE", f"/webhooks/{id_}")
    except (Refused, KeyboardInterrupt) as error:
        if isinstance(error, Refused) and error.status == 404:
            return say(f"webhook {id_} was removed by somebody else")
        raise Refused(
            f"webhook {id_} is still registered on the server ({str(error) or 'interrupted'}). "
            "The next start at this address removes it, or: "
            f"curl -X DELETE {crm.api.server}/api/v1/webhooks/{id_} -H 'Authorization: Bearer KEY'"
        ) from error
    return say(f"webhook {id_} removed")


def api_key(text: str) -> str:
    """Parse a key for argparse, whose message must not show it. White space around it is removed."""
    if not re.fullmatch("[!-~]+", text.strip()):
        raise argparse.ArgumentTypeError("a key consists of ASCII characters without spaces")
    return text.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    server = partial(web_address, login="the key is all it needs")
    add("--server", type=server, default="http://127.0.0.1:8000", help="the gateway server")
    add("--key", type=api_key, required=True, help="crm_live_…")
    add("--port", type=int, default=9000, help="where this CRM listens")
    add("--public-url", help="how the server reaches it, if not on this machine")
    options = parser.parse_args()
    host = "0.0.0.0" if options.public_url else "127.0.0.1"
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    try:
        crm = Crm((host, options.port), Api(options.server.geturl(), options.key))
    except (OSError, OverflowError) as error:
        return failed(f"Cannot listen on port {options.port}: {error}")
    try:
        with crm:
            serve(crm, options.public_url or f"http://127.0.0.1:{crm.server_port}/")
    except Refused as error:
        return failed(str(error))
    except KeyboardInterrupt:
        return failed("Stopped. If the server accepted the webhook, the next start removes it.")
    return 0


def failed(why: str) -> int:
    print(safe(why), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
