"""What the figures were taken on."""

import os
import platform
import shutil
import subprocess
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


def missing_wrk() -> str:
    """Why there can be no load from wrk, empty where there can."""
    if shutil.which("wrk"):
        return ""
    return "wrk is missing; on Debian and Ubuntu: apt install wrk (`make bench` does it as root)"


def _first_value(path: str, name: str) -> str:
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


def _commit() -> str:
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return run.stdout.strip()
