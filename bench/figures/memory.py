"""Memory of the whole server: idle, and after what an hour brings, twice."""

import subprocess
import sys
import time

from .. import people, processes, wrk
from ..scope import Scope, require
from ..table import Aim, Figure, compared, shown
from . import fleet
from .polls import IDLE_BODY

GROWTH_AIM = Aim(1.05, is_upper=True)
# An hour of 1,000 phones that poll each minute, and 1,800 SMS, brought as fast as they are taken.
POLLS = 60_000
SETTLING_SECONDS = 5
# The system counts processor time in hundredths of a second.
IDLE_SECONDS = 30
CORE_AIM = Aim(0.3, is_upper=True, unit="%")
MEMORY_AIM = Aim(130, is_upper=True, unit="MiB")
SHORT_FLEET = fleet.Fleet(phones=500, sms_per_second=60, interval=5, sending=15, rest=15)
HOUR_FLEET = fleet.Fleet(phones=2000, sms_per_second=10, interval=60, sending=1700, rest=100)


def measure(scope: Scope) -> list[Figure]:
    """MiB of all processes; the second half of the load must not have added to it."""
    size = fleet.QUICK if scope.is_quick else HOUR_FLEET if scope.is_full else SHORT_FLEET
    url = scope.new_database("sqlite", "memory")
    taking_part = people.make(url, size.phones)
    pairs = [(people.basic(login), IDLE_BODY) for login in taking_part.logins]
    load = wrk.requests(scope.folder, "memory", "POST", "/api/sms", pairs)
    with scope.app(url) as server:
        time.sleep(0 if scope.is_quick else SETTLING_SECONDS)
        each = processes.memory_of_each(server.process.pid)
        idle_share = _idle_share(server.process.pid, 1 if scope.is_quick else IDLE_SECONDS)
        bare = _bare_flask()
        halves = []
        for _ in range(2):
            outcome = fleet.run(scope, server, taking_part, size)
            require(not outcome.results["sent_twice"], "an SMS was sent twice")
            _poll(load, server.url, 500 if scope.is_quick else POLLS // 2)
            time.sleep(0 if scope.is_quick else SETTLING_SECONDS)
            halves.append(processes.usage(server.process.pid).memory_mib)
    ratio = halves[1] / halves[0]
    return [
        compared("memory, idle", "MiB", [(sum(each), bare)], MEMORY_AIM),
        *(shown(f"memory, idle, process {n}", "MiB", one) for n, one in enumerate(each, start=1)),
        shown("processor, idle", "% of a core", idle_share, CORE_AIM),
        Figure(
            "memory, after an hour's worth",
            round(halves[1], 1),
            "MiB",
            round(halves[0], 1),
            round(ratio, 3),
            f"{GROWTH_AIM} of half an hour's",
            GROWTH_AIM.is_met(ratio),
        ),
    ]


def _idle_share(pid: int, seconds: float) -> float:
    """Percent of a core that the server's processes use while nothing happens."""
    before = processes.usage(pid).cpu_seconds
    time.sleep(seconds)
    return 100 * (processes.usage(pid).cpu_seconds - before) / seconds


def _poll(load: wrk.Requests, url: str, count: int) -> None:
    done = 0
    while done < count:
        done += load.run(url, 2).requests


def _bare_flask() -> float:
    """MiB of gunicorn with an empty Flask application and the server's numbers of processes and threads."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--workers=2",
        "--threads=16",
        "--bind=127.0.0.1:0",
    ]
    process = subprocess.Popen([*command, "flask:Flask('bare')"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(SETTLING_SECONDS)
        return processes.usage(process.pid).memory_mib
    finally:
        process.terminate()
        process.wait()
