"""What an operator can cause outside of the program ends commands in one line, and no closed pipe is a fault."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from smsgw import settings as settings_module
from smsgw.server import supervisor
from smsgw.settings import Settings
from tests.conftest import missing
from tests.running import ROOT, environment

SECONDS = 60


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "smsgw", *arguments]


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment for a database with 200 phones."""
    url = f"sqlite:///{tmp_path_factory.mktemp('outside')}/x.db"
    made = environment(SMSGW_DATABASE_URL=url)
    script = (
        "from smsgw.store.db import Database; from smsgw.store import migrations; from smsgw import clock;"
        "from smsgw.core.accounts import enrolment;"
        f"database = Database({url!r}); migrations.upgrade(database)\n"
        "with database.transaction() as session:\n"
        "    for number in range(200):\n"
        "        enrolment.add_with_password(session, f'phone-{number}', None, None, clock.now())\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=made, check=True)
    return made


@pytest.mark.parametrize("command", ["device list", "device list --json"])
def test_a_closed_pipe_ends_a_command_silently(variables: dict[str, str], command: str):
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        _command(*command.split()),
        cwd=ROOT,
        env=variables,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=SECONDS,
    )
    os.close(writing)
    assert ended.stderr == b""


@pytest.mark.parametrize("command", ["device list", "--help"])
def test_an_output_on_a_full_disk_is_one_line(variables: dict[str, str], command: str):
    if not Path("/dev/full").exists():
        missing("needs /dev/full")
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            _command(*command.split()),
            cwd=ROOT,
            env=variables,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
        )
    assert (ended.returncode, ended.stderr) == (1, b"Error: No space left on device\n")


def test_ctrl_c_is_one_word(variables: dict[str, str]):
    reading, writing = os.pipe()  # nobody reads, so the command waits for room in the pipe
    command = _command("device", "list", "--json")
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdout=writing,
        stderr=subprocess.PIPE,
        # Programs that a shell starts in the background ignore it, and so does what they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        os.close(writing)
        assert os.read(reading, 1)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        # Its output is read to the end, so that it ends also where it ignores the signal.
        while os.read(reading, 65_536):
            pass
        _, errors = process.communicate(timeout=SECONDS)
    os.close(reading)
    assert errors.strip() in (b"Aborted!", b"")
    assert process.returncode != 0


def test_a_folder_for_the_key_that_cannot_be_written_stops_the_start_with_one_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_arguments: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(settings_module, "secret_key", refuse)
    with pytest.raises(
        supervisor.StartFailed, match=r"no key can be kept in .*: Permission denied \(or set SMSGW"
    ):
        supervisor._keep_secret_key(settings)
