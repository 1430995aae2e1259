"""Load from wrk: a request with headers and bodies that take turns, and what came back.

`{unique}` in a path or a body is another text in each request of each run.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 16

_SCRIPT = """
local lines = {}
for line in io.lines("%s") do lines[#lines + 1] = line end
local here, count = 0, 0
local tag = string.format("%%x%%s.", os.time(), tostring({}):sub(-6))
request = function()
  here = here %% (#lines / 2) + 1
  count = count + 1
  wrk.headers["Authorization"] = lines[2 * here - 1]
  wrk.headers["Content-Type"] = "application/json"
  local path, body = ("%s"):gsub("{unique}", tag .. count), lines[2 * here]:gsub("{unique}", tag .. count)
  return wrk.format("%s", path, wrk.headers, body)
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\n{"requests":%%d,"seconds":%%f,"p50_ms":%%f,"p99_ms":%%f,"errors":%%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What one round came to."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Requests:
    """A script for wrk: where to, and the (authorization, body) pairs that take turns."""

    script: Path

    def run(self, url: str, seconds: int = 1, *, is_fresh: bool = False) -> Load:
        """Sends as much as the server takes for so long, over kept connections or a fresh one for each request."""
        header = ["-H", "Connection: close"] if is_fresh else []
        run = subprocess.run(
            ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", *header, "-s", self.script, url],
            capture_output=True,
            text=True,
            check=True,
        )
        said = json.loads(run.stdout.rstrip().rpartition("\n")[2])
        return Load(
            said["requests"],
            said["requests"] / said["seconds"],
            said["p50_ms"],
            said["p99_ms"],
            said["errors"],
        )


def requests(
    folder: Path, name: str, method: str, path: str, pairs: list[tuple[str, str]]
) -> Requests:
    """Writes the script. Bodies are one line each."""
    rows = folder / f"{name}.txt"
    rows.write_text("".join(f"{authorization}\n{body}\n" for authorization, body in pairs))
    script = folder / f"{name}.lua"
    script.write_text(_SCRIPT % (rows, path, method))
    return Requests(script)
