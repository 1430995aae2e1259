"""The pages of the dashboard after a year of messages, and phones beside 50 open tabs."""

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import quantiles
from urllib.parse import quote, urlencode

from .. import people, year
from ..places import HOST, Server
from ..scope import Scope, require
from ..table import Aim, Figure, compared, shown
from ..year import Year
from .slow import p99_ms

MESSAGES, DEVICES = 1_000_000, 500
AIM = Aim(150, is_upper=True, unit="ms")
ROUNDS, QUICK_ROUNDS = 40, 3
TABS, ACTIVE_TABS = 50, 5
IDLE_SECONDS, ACTIVE_SECONDS = 30.0, 2.0
POLLS, QUICK_POLLS = 500, 20
SAME_SITE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}


class Tab:
    """A browser's tab: it keeps its connection and its cookie."""

    def __init__(self, server: Server, cookie: str = "") -> None:
        self._connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
        self.cookie = cookie

    def get(self, path: str) -> tuple[int, str]:
        """The status and the page."""
        return self._send("GET", path)

    def sign_in(self, key: str) -> None:
        """Sign in with an operator's key."""
        _, page = self.get("/admin/sign-in")
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)
        status, _ = self._send(
            "POST", "/admin/sign-in", urlencode({"csrf_token": token, "secret": key})
        )
        require(status == 303, f"signing in was answered {status}")

    def _send(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        form = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request(method, path, body, {**SAME_SITE, **form, "Cookie": self.cookie})
        answer = self._connection.getresponse()
        content = answer.read().decode()
        if cookie := answer.headers.get("Set-Cookie"):
            self.cookie = cookie.split(";")[0]
        return answer.status, content


def measure(scope: Scope) -> list[Figure]:
    """p95 of each page; both databases in a full run, SQLite else."""
    kinds = ("sqlite", "postgresql") if scope.is_full else ("sqlite",)
    return [figure for kind in kinds for figure in _measure(scope, kind)]


def _measure(scope: Scope, kind: str) -> list[Figure]:
    share = 1 if scope.is_full else 0.001 if scope.is_quick else 0.2
    devices = DEVICES if not scope.is_quick else 20
    url = scope.new_database(kind, f"year_{kind}")
    filled = year.fill(url, int(MESSAGES * share), devices)
    phone = people.make(url, 1, "polling").logins[0]
    with scope.web(url) as server:
        tab = Tab(server)
        tab.sign_in(filled.operator_key)
        rounds = QUICK_ROUNDS if scope.is_quick else ROUNDS
        taken = _pages(tab, filled, rounds)
        polls = QUICK_POLLS if scope.is_quick else POLLS
        alone = p99_ms(server, people.basic(phone), polls, lambda: None)
        with _tabs(server, tab.cookie, filled):
            among = p99_ms(server, people.basic(phone), polls, lambda: None)
    pages = {f"page {name}, {kind}, p95": _p95(times) for name, times in taken.items()}
    slowest = max(pages.values())
    return [
        *(shown(name, "ms", p95, AIM) for name, p95 in pages.items()),
        shown(f"slowest of {len(pages)} pages, {kind}, p95", "ms", slowest, AIM),
        compared(f"a poll beside {TABS} tabs, {kind}, p99", "ms", [(among, alone)]),
    ]


def paths(filled: Year) -> dict[str, str]:
    """What is asked for, by name: each page, and lists with filters that match few, none and very many."""
    number = quote(year.LOUD_NUMBER)
    messages = "/admin/messages?"
    return {
        "overview": "/admin/overview",
        "start": "/admin/start",
        "devices": "/admin/devices",
        "device": f"/admin/devices/{filled.device_id}",
        "messages": messages,
        "messages, failed": f"{messages}status=failed",
        "messages, none": f"{messages}status=queued",
        "messages, of a device": f"{messages}device_id={filled.device_id}",
        "messages, of a CRM": f"{messages}crm={filled.crm_id}",
        "messages, of a number": f"{messages}number={number}",
        "messages, with a text": f"{messages}q=Reminder+7",
        "messages, without a text": f"{messages}q=nobody+wrote+this",
        "message": f"/admin/messages/{filled.message_id}",
        "message, failed": f"/admin/messages/{filled.failed_id}",
        "conversations": "/admin/conversations",
        "conversation": f"/admin/conversations/{number}",
        "send": "/admin/send",
        "bulk": "/admin/bulk",
        "CRMs": "/admin/crms",
        "CRM": f"/admin/crms/{filled.crm_id}",
        "webhooks": "/admin/webhooks",
        "webhook": f"/admin/webhooks/{filled.webhook_id}",
        "delivery": f"/admin/deliveries/{filled.delivery_id}",
        "opt-outs": "/admin/opt-outs",
        "limits": "/admin/limits",
        "log": "/admin/log",
        "people": "/admin/people",
        "me": "/admin/me",
    }


def _pages(tab: Tab, filled: Year, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each page, one after the other in each round; the first round is not counted."""
    asked = paths(filled)
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(rounds + 1):
        for name, path in asked.items():
            began = time.perf_counter()
            status, page = tab.get(path)
            if number > 0:
                taken[name].append(1000 * (time.perf_counter() - began))
            require(status == 200 and "</html>" in page, f"{path} was answered {status}")
    return taken


def _p95(taken: list[float]) -> float:
    return quantiles(taken, n=20, method="inclusive")[-1]


@contextmanager
def _tabs(server: Server, cookie: str, filled: Year) -> Iterator[None]:
    """Fifty tabs with the overview, of which somebody uses five: these ask more often."""
    end = threading.Event()
    path = re.findall(r'hx-get="([^"]+)"', Tab(server, cookie).get("/admin/overview")[1])[0]
    path = path.replace("&amp;", "&")

    def ask(number: int) -> None:
        tab = Tab(server, cookie)
        pause = ACTIVE_SECONDS if number < ACTIVE_TABS else IDLE_SECONDS
        # Each began at another moment.
        end.wait(pause * number / TABS)
        while not end.is_set():
            require(tab.get(path)[0] in (200, 204), "a tab got no news")
            end.wait(pause)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(TABS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()
