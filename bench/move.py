"""Measures how long `copy` takes from SQLite to PostgreSQL and back, after a year: python -m bench.move [MESSAGES]."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import places, year
from .scope import require

MESSAGES, DEVICES = 1_000_000, 500


def main() -> int:
    """Fill a file, copy it there and back, and say how long each took; 1 where the counts differ."""
    messages = int(sys.argv[1]) if sys.argv[1:] else MESSAGES
    with tempfile.TemporaryDirectory(prefix="smsgw-bench-") as name:
        folder = Path(name)
        with places.postgresql(folder) as server:
            first = places.new_database(folder, None, "first")
            year.fill(first, messages, DEVICES)
            there_url = places.new_database(folder, server, "there")
            there = _copy(first, there_url)
            back = _copy(there_url, f"sqlite:///{folder}/back.db")
    require(there["counts"]["messages"] == messages, "messages are missing")
    # Each copy leaves one entry.
    there["counts"]["audit_entries"] += 1
    require(there["counts"] == back["counts"], "the counts differ")
    rows = sum(there["counts"].values())
    print(f"{messages:,} messages, {rows:,} rows")
    print(f"SQLite to PostgreSQL: {there['seconds']:.0f} s, back: {back['seconds']:.0f} s")
    return 0


def _copy(source: str, target: str) -> Any:
    environment = {**os.environ, **places.SETTINGS, "SMSGW_DATABASE_URL": source}
    command = [sys.executable, "-m", "smsgw", "copy", "--to", target, "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=places.ROOT, env=environment, stdout=subprocess.PIPE, check=True
    )
    return {**json.loads(done.stdout), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    sys.exit(main())
