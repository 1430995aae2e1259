"""A server that answers phones exactly as a test scripts it, over real sockets."""

import json
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CLOSE = "close without an answer"


def answer(value, status=200, **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {name.replace("_", "-"): text for name, text in headers.items()}, body


def hand_out(*ids, to="+447700900123", content="hi"):
    return answer({"messages": [{"id": id_, "to": to, "content": content} for id_ in ids]})


GATEWAY = answer({"medic-gateway": True})


class Request:
    def __init__(self, handler, body):
        self.method, self.path, self.raw = handler.command, handler.path, body
        self.headers = list(handler.headers.items())
        self.peer = handler.client_address
        self.json = json.loads(body) if body else None

    def header(self, name):
        return dict(self.headers).get(name)

    def statuses(self, id_=None):
        return [u["status"] for u in self.json["updates"] if id_ in (None, u["id"])]

    def ids(self):
        return [m["id"] for m in self.json["messages"]]


class Scripted(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if len(body) < int(self.headers.get("Content-Length", 0)):
            self.server.cut_requests += 1
            self.close_connection = True
            return
        with self.server.lock:
            request = Request(self, body)
            self.server.requests.append(request)
            script = self.server.script
            says = script.popleft() if script else self.server.otherwise
        self.say(says(request) if callable(says) else says)

    def say(self, says):
        if says == CLOSE or isinstance(says, bytes):
            self.wfile.write(says if isinstance(says, bytes) else b"")
            self.close_connection = True
            return
        status, headers, body = says
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class ScriptServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Scripted)
        self.lock = threading.Lock()
        self.requests = []
        self.script = deque()
        self.otherwise = answer({"messages": []})
        self.cut_requests = 0
        self.url = f"http://127.0.0.1:{self.server_port}/api/sms"

    def handle_error(self, request, client_address):
        pass  # phones that cut their line are part of the tests

    def url_for(self, user_info, path="/api/sms"):
        return f"http://{user_info}@127.0.0.1:{self.server_port}{path}"


@contextmanager
def running_script():
    server = ScriptServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
