"""The key that signs cookies: made once, whole, and for its owner's eyes alone."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from smsgw import settings as settings_module


def test_processes_that_start_at_once_get_one_whole_key(tmp_path: Path):
    settings = replace(settings_module.load(), secret_key=None)
    folder = tmp_path / "data"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: settings_module.secret_key(settings, folder), range(64)))
    (key,) = keys
    assert len(key) == 64
    assert [path.name for path in folder.iterdir()] == ["secret_key"]
    assert (folder / "secret_key").stat().st_mode & 0o077 == 0


def test_the_setting_wins_and_no_file_is_made(tmp_path: Path):
    settings = replace(settings_module.load(), secret_key="s" * 40)
    assert settings_module.secret_key(settings, tmp_path) == "s" * 40
    assert not list(tmp_path.iterdir())
