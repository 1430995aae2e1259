"""What mypy sees: a column that is misspelt anywhere on a message's path is named before anything runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 600
# The file, what stands there, and what somebody might write instead: of another length, by which mypy sees the change.
MISSPELT = [
    ("core/messages/reports.py", "dispatch.stuck_at = None", "dispatch.stuk_at = None"),
    ("core/messages/dispatches.py", "message.device_id = leading", "message.devic_id = leading"),
    ("core/messages/handing_out.py", "message.to_number or", "message.to_numbr or"),
    ("core/messages/dispatching.py", "lease_until=now", "lease_untilled=now"),
    ("core/messages/dispatching.py", "Dispatch.lease_until: ", "Dispatch.lease_untl: "),
    ("core/operations/housekeeping.py", "dispatch.stuck_at = now", "dispatch.stuc_at = now"),
    ("core/messages/receiving.py", "from_number=numbers", "from_numbr=numbers"),
    ("core/messages/drafts.py", "due_at=max", "due_att=max"),
    ("core/messages/history.py", "dispatch.id if", "dispatch.ident if"),
    ("core/messages/json.py", "row.to_number", "row.to_num"),
    ("core/events/recording.py", "row.type, row", "row.typ, row"),
    ("core/webhooks/settling.py", ".attempt_count > 0", ".attempt_cout > 0"),
    ("core/webhooks/claiming.py", "event.body.encode", "event.boddy.encode"),
    ("core/webhooks/due.py", "row.in_flight", "row.in_fligt"),
    ("core/devices/queue.py", "row.priority", "row.priorty"),
    ("core/devices/locking.py", "device.secret_hash !=", "device.secret_hsh !="),
]


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_mypy_names_every_misspelt_column_on_the_path_of_a_message(tmp_path: Path):
    texts: dict[str, str] = {}
    for name, right, wrong in MISSPELT:
        text = texts.get(name) or (ROOT / "smsgw" / name).read_text()
        assert right in text, (name, right)
        texts[name] = text.replace(right, wrong)
    options = []
    for number, (name, text) in enumerate(texts.items()):
        copy = tmp_path / f"{number}.py"
        copy.write_text(text)
        options += ["--shadow-file", f"smsgw/{name}", str(copy)]
    found = _mypy(tmp_path, *options, *(f"smsgw/{name}" for name in texts))
    for name, right, wrong in MISSPELT:
        (new,) = set(re.findall(r"\w+", wrong)) - set(re.findall(r"\w+", right))
        assert [line for line in found if line.startswith(f"smsgw/{name}:") and f'"{new}"' in line]


def _mypy(folder: Path, *arguments: str) -> list[str]:
    """The lines of a run with the project's settings. It starts from what an earlier run has learnt, if any."""
    cache = folder / "cache"
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", cache)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *arguments]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stdout.splitlines()
