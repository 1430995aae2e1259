"""Memory and processor time of a server with all its processes, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """`memory_mib` counts pages that several processes share once in all."""

    memory_mib: float
    cpu_seconds: float


def usage(pid: int) -> Usage:
    """Of the process and all below it."""
    pids = family(pid)
    return Usage(sum(map(_memory_kib, pids)) / 1024, sum(map(_cpu_seconds, pids)))


def memory_of_each(pid: int) -> list[float]:
    """MiB of the process and of each below it, in the order in which they were started."""
    return [_memory_kib(each) / 1024 for each in sorted(family(pid))]


def family(pid: int) -> list[int]:
    """The process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents[int(entry.name)] = int(stat[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _stat(pid: int) -> list[str]:
    """The fields after the process's name, the state first; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _memory_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _cpu_seconds(pid: int) -> float:
    """Of the process itself, and of those below it that have ended."""
    return sum(map(int, _stat(pid)[11:15])) / TICKS
