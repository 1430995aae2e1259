"""SQLite's file is away at the start, goes, and comes back: 503 meanwhile, and no file is made."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smsgw import settings as settings_module
from smsgw.core.accounts import crms, enrolment
from smsgw.delivery import worker
from smsgw.http.context import EXTENSION
from smsgw.settings import Settings
from smsgw.store import migrations
from smsgw.store.change_listener import change_listener
from smsgw.store.db import Database

from ..conftest import NOW, World, application

DRAFT = {"to": "+4915112345678", "content": "hi"}
SUFFIXES = ("", "-wal", "-shm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def kept(tmp_path: Path, folder: Path, sqlite_template: Path) -> Iterator[World]:
    """An app whose database's folder does not exist yet; a database that would fit there is kept beside it."""
    path = tmp_path / "kept.db"
    shutil.copy(sqlite_template, path)
    with closing(Database(f"sqlite:///{path}")) as database, database.transaction() as session:
        _, password = enrolment.add_with_password(session, "phone-1", None, None, NOW)
        crm, key = crms.add(session, "clinic", None, NOW)
    url = f"sqlite:///{folder / 'smsgw.db'}"
    settings = replace(settings_module.load(), database_url=url, secret_key="k" * 64)
    with application(settings) as app:
        yield World(app, settings, app.extensions[EXTENSION].database, password, crm.id, key)


def put(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copy(folder.parent / "kept.db", folder / "smsgw.db")


def answers(world: World) -> tuple[int, int]:
    """The status codes of a phone's poll and a CRM's message; each 503 says when to try again."""
    found = (
        world.client.post("/api/sms", json={}, headers=world.as_device()),
        world.client.post("/api/v1/messages", json=DRAFT, headers=world.as_crm()),
    )
    assert all(one.status_code != 503 or int(one.headers["Retry-After"]) > 0 for one in found)
    return found[0].status_code, found[1].status_code


def empty(path: Path) -> None:
    path.parent.mkdir()
    path.touch()


def log_alone(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("smsgw.db-wal").write_bytes(b"x" * 5000)


def folder_in_its_place(path: Path) -> None:
    path.mkdir(parents=True)


def other_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"This is no database." * 500)


def no_tables(path: Path) -> None:
    with closing(Database(f"sqlite:///{path}")) as database:
        database.create()


def no_folder(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    "place", [no_folder, log_alone, empty, folder_in_its_place, other_file, no_tables]
)
def test_a_process_that_starts_without_a_database_answers_503_and_serves_once_it_is_there(
    kept: World, folder: Path, place: Any
):
    place(folder / "smsgw.db")
    before = {file: file.stat().st_size for file in folder.rglob("*")}
    assert answers(kept) == (503, 503)
    assert kept.client.get("/healthz").status_code == 200
    assert kept.client.get("/readyz").status_code == 503
    if place is not no_tables:
        assert {file: file.stat().st_size for file in folder.rglob("*")} == before
    shutil.rmtree(folder, ignore_errors=True)
    put(folder)
    assert answers(kept) == (200, 202)
    assert kept.client.get("/api/v1/messages", headers=kept.as_crm()).json["data"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_postgresql_without_tables_is_an_outage_until_they_are_made(
    settings: Settings, new_postgresql_url: str
):
    with application(replace(settings, database_url=new_postgresql_url)) as app:
        database = app.extensions[EXTENSION].database
        world = World(app, settings, database, "x", "x", "crm_live_x")
        assert answers(world) == (503, 503)
        migrations.upgrade(database)
        assert answers(world) == (401, 401)


def test_a_file_that_may_not_be_written_is_not_used(kept: World, folder: Path, monkeypatch):
    put(folder)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert answers(kept) == (503, 503)
    monkeypatch.undo()
    assert answers(kept) == (200, 202)


@pytest.mark.parametrize("way", ["same files", "copies"])
def test_what_was_moved_away_is_served_again_when_it_is_back(kept: World, folder: Path, way: str):
    put(folder)
    assert answers(kept) == (200, 202)
    away = folder.with_name("away")
    folder.rename(away)
    assert answers(kept) == (503, 503)
    assert not folder.exists()
    if way == "copies":
        shutil.copytree(away, folder)
    else:
        away.rename(folder)
    assert answers(kept) == (200, 202)
    listed = kept.client.get("/api/v1/messages", headers=kept.as_crm()).json["data"]
    assert len(listed) == 2


def test_a_file_that_was_emptied_is_not_used_until_its_log_is_gone_too(kept: World, folder: Path):
    put(folder)
    assert answers(kept) == (200, 202)
    (folder / "smsgw.db").write_bytes(b"")
    assert answers(kept) == (503, 503)
    assert (folder / "smsgw.db").stat().st_size == 0
    # The log of before would be written into it.
    shutil.copyfile(folder.parent / "kept.db", folder / "smsgw.db")
    assert answers(kept) == (503, 503)
    for suffix in SUFFIXES:
        (folder / f"smsgw.db{suffix}").unlink()
    put(folder)
    assert answers(kept) == (200, 202)
    assert len(kept.client.get("/api/v1/messages", headers=kept.as_crm()).json["data"]) == 1


def test_a_worker_waits_for_the_database_and_its_tables(folder: Path, kept: World):
    database, stop = Database(kept.settings.database_url), threading.Event()
    waiting = threading.Thread(target=worker._wait_for_tables, args=(database, stop), daemon=True)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    assert not folder.exists()
    migrations.upgrade(maker := Database(kept.settings.database_url))
    waiting.join(30)
    assert not waiting.is_alive()
    maker.close()
    database.close()


def test_who_waits_for_changes_makes_no_file_and_finds_those_of_another_file(
    kept: World, folder: Path
):
    listener = change_listener(kept.database, threading.Event())
    assert not listener.wait(0.05)
    assert not folder.exists()
    put(folder)
    assert listener.wait(5)
    shutil.move(folder, folder.with_name("away"))
    assert not listener.wait(0.05)
    put(folder)
    assert listener.wait(5)
    listener.close()
