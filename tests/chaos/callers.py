"""Who calls the server: phones that poll, and a CRM that repeats until it has an answer."""

import json
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from typing import Any

from demo.phone import Mode, Outgoing, PhoneInHand, Report
from demo.rows import good_network
from demo.target import typed_url

# Reports come at once: a phone that waits as a real one does would make each round three seconds longer.
SPEED = 1e6
PAUSE_SECONDS = 0.1
TIMEOUT_SECONDS = 30
GIVEN_UP_SECONDS = 300


class Caller:
    """Makes REST requests with a key."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def once(self, method: str, path: str, body: Any = None) -> tuple[int, Any] | None:
        """One request: the status and what the answer says; `None` when no answer comes."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, self._headers)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        except (OSError, HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def repeat(self, method: str, path: str, body: Any = None) -> Any:
        """The same until it is answered; an error are five minutes without, and what is no success and no outage."""
        deadline = time.monotonic() + GIVEN_UP_SECONDS
        while True:
            found = self.once(method, path, body)
            assert time.monotonic() < deadline, (method, path, found)
            if found is not None and 200 <= found[0] < 300:
                return found[1]
            assert found is None or found[0] in (429, 503), (method, path, found)
            time.sleep(PAUSE_SECONDS)


class Phone:
    """A phone of one device, which polls without a pause for as long as it is told to."""

    def __init__(self, name: str, url: str, sent: Counter[str]) -> None:
        self.name = name
        self._url = url
        self._sent = sent
        self._lock = threading.Lock()
        self._in_hand = self._new()

    def behave(self, mode: Mode) -> None:
        """Behave like this from now on."""
        with self._lock:
            self._in_hand.phone.mode = mode

    def renew(self) -> None:
        """Be a phone that knows nothing and behaves well. All that it has in hand must have come to an end."""
        with self._lock:
            self._in_hand.close()
            self._in_hand = self._new()

    def type_url(self, url: str, *, is_new_phone: bool = False) -> None:
        """Let somebody type this URL into the app, of this phone or of a new one with its cards; the app checks it."""
        with self._lock:
            self._url = url
            if is_new_phone:
                card = self._in_hand.handset.log
                self._in_hand.close()
                self._in_hand = self._new()
                self._in_hand.handset.log = card
                self._in_hand.handset.restart_app()
            self._in_hand.phone.target = typed_url(url)
            self._in_hand.check()

    def live(self, inbound: list[str], stop: threading.Event) -> None:
        """Receive these SMS, one after the other, and poll until told to stop."""
        waiting = list(inbound)
        while not stop.is_set():
            with self._lock:
                if waiting:
                    self._in_hand.receive(waiting.pop(0), "+4915198765432")
                self._in_hand.wake()
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        self._in_hand.close()

    def _new(self) -> PhoneInHand:
        return PhoneInHand(self._url, timeout=TIMEOUT_SECONDS, speed=SPEED, network=self._send)

    def _send(self, message: Outgoing) -> list[Report]:
        self._sent[message.content] += 1
        return good_network(message)


class Feed:
    """The events so far, read bit by bit."""

    def __init__(self, crm: Caller) -> None:
        self.events: list[dict[str, Any]] = []
        self._crm = crm
        self._after = ""

    def read(self) -> list[dict[str, Any]]:
        """Read what is new; return it."""
        begin = len(self.events)
        while True:
            page = self._crm.repeat("GET", f"/api/v1/events?limit=100{self._after}")
            self.events += page["data"]
            if not page["data"]:
                return self.events[begin:]
            self._after = f"&after={page['next_cursor']}"


def queue(crm: Caller, draft: dict[str, Any]) -> None:
    """Queue a message, and repeat it under its reference until the server has taken it."""
    crm.repeat("POST", "/api/v1/messages", draft)


def messages(caller: Caller) -> list[dict[str, Any]]:
    """All messages there are."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = caller.repeat("GET", f"/api/v1/messages?limit=100{cursor}")
        found += page["data"]
        if not page["next_cursor"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"
