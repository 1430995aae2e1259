"""The note of where the server was started last."""

from dataclasses import replace
from pathlib import Path

import pytest

from smsgw import settings as settings_module
from smsgw.server import address
from smsgw.settings import DATA_FOLDER, Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("SMSGW_PORT", "SMSGW_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    return replace(settings_module.load(), database_url=f"sqlite:///{tmp_path}/smsgw.db")


def test_without_a_note_the_settings_stay(settings: Settings):
    assert address.as_served(settings) == settings


def test_what_was_noted_last_stands(settings: Settings):
    address.note(settings, 9000)
    address.note(replace(settings, public_url="https://sms.example.org"), 9471)
    found = address.as_served(settings)
    assert (found.port, found.base_url) == (9471, "https://sms.example.org")


@pytest.mark.parametrize("name", ["SMSGW_PORT", "SMSGW_PUBLIC_URL"])
def test_the_environment_comes_first(settings: Settings, monkeypatch, name):
    address.note(settings, 9471)
    monkeypatch.setenv(name, "x")
    assert address.as_served(settings) == settings


@pytest.mark.parametrize("text", ['{"port": 9', '{"port": 9}', "[]", "5"])
def test_a_spoilt_note_is_none(settings: Settings, text: str):
    address.note_path(settings.database_url).write_text(text)
    assert address.as_served(settings) == settings


def test_a_folder_that_cannot_be_written_stops_nothing(settings: Settings, tmp_path: Path):
    (tmp_path / "file").write_text("")
    address.note(replace(settings, database_url=f"sqlite:///{tmp_path}/file/smsgw.db"), 9471)


def test_each_other_database_has_a_note_in_the_data_folder():
    one, two = (address.note_path(f"postgresql://me:secret@{host}/sms") for host in ("a", "b"))
    assert one != two
    assert one.parent == two.parent == DATA_FOLDER
    assert "secret" not in one.name
