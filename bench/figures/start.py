"""Cold start, from `python app.py` to the first 200, and what commands cost."""

import os
import resource
import subprocess
import sys
import time
from statistics import median

from .. import places
from ..scope import Scope
from ..table import Aim, Figure, compared, shown

# In one run: Python alone, the library that the server's pages need anyway, and two commands.
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import flask'": ["-c", "import flask"],
    "smsgw --help": ["-m", "smsgw", "--help"],
    "smsgw device list": ["-m", "smsgw", "device", "list"],
}
REFERENCE = "python -c 'import flask'"
START_AIM = Aim(0.8, is_upper=True, unit="s")
COMMAND_AIM = Aim(0.3, is_upper=True, unit="s")


def measure(scope: Scope) -> list[Figure]:
    """Seconds, the medians of the rounds."""
    url = scope.new_database("sqlite", "start")
    times = []
    for _ in range(scope.rounds):
        with scope.app(url) as server:
            times.append(server.start_seconds)
    return [
        shown("cold start to the first 200", "s", median(times), START_AIM),
        *_commands(scope, url),
    ]


def _commands(scope: Scope, url: str) -> list[Figure]:
    """Wall and processor seconds of each command against those of importing Flask, in interleaved rounds."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(scope.rounds):
        for name, arguments in COMMANDS.items():
            spent[name].append(_spend(arguments, url))
    figures = []
    for name in COMMANDS:
        rounds = list(zip(spent[name], spent[REFERENCE], strict=True))
        aim = COMMAND_AIM if name.startswith("smsgw") else None
        walls, processor = (
            [(each[which], reference[which]) for each, reference in rounds] for which in (0, 1)
        )
        figures += [
            compared(name, "s", walls),
            compared(f"{name}, processor", "s", processor, aim),
        ]
    return figures


def _spend(arguments: list[str], url: str) -> tuple[float, float]:
    """Run Python and return how many seconds passed, and how many of a processor's it took."""
    environment = {**os.environ, "SMSGW_DATABASE_URL": url}
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=places.ROOT,
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, processor
