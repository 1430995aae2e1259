"""Counts how often processes have the disk keep what they wrote, with strace."""

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import places

CALLS = "fsync,fdatasync,sync_file_range,msync,sync,syncfs,openat"
# One of these calls, or a file that is opened so that each write is one.
IS_A_SYNC = re.compile(r"\b(fsync|fdatasync|sync_file_range|msync|sync|syncfs)\(|O_D?SYNC")


def per_item(folder: Path, pids: Sequence[int], act: Callable[[], int]) -> float:
    """Syncs of these processes, and of those they start, for each of the items that `act` returns the number of."""
    trace, says = folder / f"syncs_{pids[0]}.txt", folder / f"strace_{pids[0]}.txt"
    command = ["strace", "-f", "-o", str(trace), "-e", f"trace={CALLS}"]
    command += [part for pid in pids for part in ("-p", str(pid))]
    with says.open("w") as errors:
        tracer = subprocess.Popen(command, stderr=errors)
        try:
            _wait_until_attached(says, len(pids))
            count = act()
        finally:
            places.end(tracer)
    return len(IS_A_SYNC.findall(trace.read_text())) / count


def _wait_until_attached(says: Path, count: int) -> None:
    deadline = time.monotonic() + places.PATIENCE_SECONDS
    while says.read_text().count("attached") < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"strace cannot attach:\n{says.read_text()}")
        time.sleep(0.05)
