"""Settings from a file, and words about variables that are none."""

import os
from pathlib import Path

import pytest

from smsgw import env_files, settings
from smsgw.settings import SettingsError


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of this process, empty at first, on a machine without the usual file."""
    made: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", made)
    monkeypatch.setattr(env_files, "USUAL", tmp_path / "usual.env")
    return made


def test_a_file_is_read_as_systemd_reads_it(variables: dict[str, str], tmp_path: Path):
    file = tmp_path / "smsgw.env"
    file.write_text(
        "\ufeff# a comment\n; another\n\n"
        "SMSGW_PORT=9000\r\n"
        "  export SMSGW_HOST = 127.0.0.1 \n"
        "SMSGW_OPERATOR_KEY='$HOME and # no comment, 20 characters'\n"
        'SMSGW_DATABASE_URL="postgresql://u:p\\"w#$x@h/x"\n'
        "PGPASSFILE=/x\n"
    )
    env_files.use(file)
    env_files.add()
    variables.pop("PYTEST_CURRENT_TEST", None)
    assert variables == {
        "SMSGW_ENV_FILE": str(file),
        "SMSGW_PORT": "9000",
        "SMSGW_HOST": "127.0.0.1",
        "SMSGW_OPERATOR_KEY": "$HOME and # no comment, 20 characters",
        "SMSGW_DATABASE_URL": 'postgresql://u:p"w#$x@h/x',
        "PGPASSFILE": "/x",
    }


def test_the_environment_comes_before_the_file(variables: dict[str, str], tmp_path: Path):
    file = tmp_path / "smsgw.env"
    file.write_text("SMSGW_PORT=9000\nSMSGW_THREADS=3\n")
    variables.update(SMSGW_PORT="9001", SMSGW_ENV_FILE=str(file))
    found = settings.load()
    assert (found.port, found.threads) == (9001, 3)


def test_the_usual_file_is_read_where_no_other_is_named(variables: dict[str, str]):
    env_files.USUAL.write_text("SMSGW_PORT=9000\n")
    assert settings.load().port == 9000
    variables.clear()
    variables["SMSGW_ENV_FILE"] = ""
    assert settings.load().port == 8000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "SMSGW_ENV_FILE: .*x.env: No such file or directory"),
        (b"SMSGW_PORT=1\nSMSGW_OPERATOR_KEY hidden\n", "x.env: line 2 is not like NAME=value"),
        (b"SMSGW_PORT=\xff", "x.env is not a text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_without_its_values(
    variables: dict[str, str], tmp_path: Path, data: bytes | None, words: str
):
    file = tmp_path / "x.env"
    if data is not None:
        file.write_bytes(data)
    variables["SMSGW_ENV_FILE"] = str(file)
    with pytest.raises(SettingsError, match=words) as caught:
        settings.load()
    assert "hidden" not in str(caught.value)


def test_a_usual_file_for_others_alone_is_named_and_not_needed(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert settings.load().port == 8000
    assert settings.warnings() == [
        f"this user may not read the settings of the server in {env_files.USUAL}"
    ]


def test_variables_that_are_no_settings_are_named_with_what_may_be_meant(variables: dict[str, str]):
    variables.update(SMSGW_DATABSE_URL="x", SMSGW_PORTS="x", SMSGW_ZZZ="x", SMSGW_PORT="8000")
    settings.load()
    assert settings.warnings() == [
        "SMSGW_DATABSE_URL is not a setting: did you mean SMSGW_DATABASE_URL?",
        "SMSGW_PORTS is not a setting: did you mean SMSGW_PORT?",
        "SMSGW_ZZZ is not a setting (docs/settings.md lists them)",
    ]
