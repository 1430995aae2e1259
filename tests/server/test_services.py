"""deploy/systemd, sysusers.d and tmpfiles.d, as systemd itself reads them; it need not run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from smsgw import settings
from tests.conftest import missing
from tests.running import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MOST_EXPOSURE = 2.5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the users that systemd-sysusers makes in it."""
    (tmp_path / "etc").mkdir()
    _run("systemd-sysusers", f"--root={tmp_path}", str(DEPLOY / "sysusers.d" / "smsgw.conf"))
    return tmp_path


def _run(program: str, *arguments: str) -> str:
    found = shutil.which(program) or missing(f"{program} (the package systemd) is not installed")
    ran = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_has_no_mistake(unit: Path, tmp_path: Path):
    # The command is not there where the package is not installed.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/usr/bin/smsgw", "/bin/true"))
    assert _run("systemd-analyze", "verify", "--man=no", str(copy)) == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_may_do_little_else(unit: Path):
    text = _run("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
    assert found is not None, text
    assert float(found[1]) <= MOST_EXPOSURE


def test_the_units_differ_in_name_and_command_alone():
    server, worker = (
        [line for line in unit.read_text().splitlines() if "Description" not in line]
        for unit in (DEPLOY / "systemd" / f"{name}.service" for name in ("smsgw", "smsgw-worker"))
    )
    differing = [pair for pair in zip(server, worker, strict=True) if pair[0] != pair[1]]
    assert differing == [("ExecStart=/usr/bin/smsgw serve", "ExecStart=/usr/bin/smsgw worker")]


def test_the_user_has_its_home_where_the_data_is(root: Path):
    (line,) = (root / "etc" / "passwd").read_text().splitlines()
    name, _, _, _, _, home, shell = line.split(":")
    assert (name, home) == ("smsgw", "/var/lib/smsgw")
    assert shell.endswith("nologin")


def test_secrets_are_for_the_user_and_its_group_alone(root: Path):
    (root / "etc" / "smsgw").mkdir()
    settings_file = root / "etc" / "smsgw" / "smsgw.env"
    settings_file.write_bytes((DEPLOY / "smsgw.env").read_bytes())
    configuration = str(DEPLOY / "tmpfiles.d" / "smsgw.conf")
    _run("systemd-tmpfiles", f"--root={root}", "--create", configuration)
    modes = [
        oct(path.stat().st_mode & 0o777)
        for path in (settings_file, settings_file.parent, root / "var" / "lib" / "smsgw")
    ]
    assert modes == ["0o640", "0o750", "0o700"]


def test_each_variable_of_the_settings_file_is_a_setting():
    named = re.findall(r"^#?(\w+)=", (DEPLOY / "smsgw.env").read_text(), re.MULTILINE)
    assert named
    assert set(named) <= set(settings.environment_names())
