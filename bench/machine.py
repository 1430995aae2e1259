"""What the figures were taken on."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any


def describe() -> dict[str, Any]:
    """Date, processor, cores, memory, system and Python."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": _first_value("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first_value("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": _commit(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def missing(programs: Iterable[str]) -> str:
    """What has to be installed, empty where all programs are there."""
    names = [name for name in programs if not shutil.which(name)]
    if not names:
        return ""
    return f"{' and '.join(names)} is missing; as root, on Debian, make installs what it needs"


def _first_value(path: str, name: str) -> str:
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


def _commit() -> str:
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return run.stdout.strip()
