"""What hints tell people to type."""

import subprocess
import sys
from pathlib import Path

import pytest

from smsgw import program
from tests.running import ROOT, environment


@pytest.mark.parametrize(
    ("python", "shown"),
    [
        ("{here}/.venv/bin/python", ".venv/bin/python -m smsgw db upgrade"),
        ("{here}/a b/bin/python", "'a b/bin/python' -m smsgw db upgrade"),
        ("/usr/bin/python3", "/usr/bin/python3 -m smsgw db upgrade"),
    ],
)
def test_a_command_is_shown_as_it_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, python: str, shown: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", python.format(here=tmp_path))
    assert program.line("db upgrade") == shown


def test_help_names_the_python_it_was_called_with():
    answer = subprocess.run(
        [sys.executable, "-m", "smsgw", "device", "--help"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    assert answer.stdout.startswith(f"Usage: {shown} -m smsgw device ")
