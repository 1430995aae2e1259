"""`init` and `db`."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw import lan, program
from smsgw.store.db import Database
from tests.cli.conftest import Ask, Run
from tests.running import ROOT, environment


def test_init_makes_an_operator_a_phone_and_a_crm_and_prints_them_once(run: Run):
    first, second = run("init"), run("init")
    assert first.exit_code == second.exit_code == 0
    assert re.search(r"op_live_[0-9a-f]{64}", first.output)
    assert re.search(r"http://phone-1:[a-z2-9]{20}@[\d.]+:8000/api/sms", first.output)
    assert re.search(r"curl .*crm_live_[0-9a-f]{64}.*\+12025550123", first.output)
    assert "/docs" in first.output
    assert "/admin" in first.output
    assert "live_" not in second.output


def test_init_warns_of_plain_http_and_not_of_https(run: Run, monkeypatch: pytest.MonkeyPatch):
    assert "Android 9" in run("init").output
    monkeypatch.setenv("SMSGW_PUBLIC_URL", "https://sms.example.org")
    assert "Android 9" not in run("init").output


def test_init_prints_the_public_url_where_there_is_one(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMSGW_PUBLIC_URL", "https://sms.example.org/")
    output = run("init").output
    assert re.search(r"https://phone-1:[a-z2-9]{20}@sms\.example\.org/api/sms", output)
    assert "curl https://sms.example.org/api/v1/messages" in output
    assert "Android 9" not in output


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://sms.example.org/gw/", "have no path, .*: https://sms.example.org$"),
        ("https://sms.example.org:8443/api/sms", "have no path, .*: https://sms.example.org:8443$"),
        ("sms.example.org", "be like https://sms.example.org$"),
        ("https://", "be like"),
        ("https://u:p@sms.example.org", "be like"),
        ("https://sms.example.org?x=1", "be like"),
        ("https://sms.example.org:http", "be like"),
        ("ftp://sms.example.org", "be like"),
    ],
)
def test_a_public_url_that_is_more_than_an_address_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str, words: str
):
    monkeypatch.setenv("SMSGW_PUBLIC_URL", url)
    refused = run("device", "list")
    assert refused.exit_code == 1
    assert re.fullmatch(f"Error: SMSGW_PUBLIC_URL must {words}.*\n", refused.output)


def test_the_url_has_the_port_and_never_127_0_0_1_where_there_is_a_network(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SMSGW_PORT", "9123")
    monkeypatch.setattr(lan, "own_address", lambda: "192.168.7.5")
    assert "@192.168.7.5:9123/api/sms" in ask("init")["device"]["url"]


def test_the_machines_address_is_found_without_sending_anything():
    assert socket.inet_aton(lan.own_address())


def test_init_tells_in_json_what_it_made(ask: Ask):
    made = ask("init")
    assert made["operator"]["key"].startswith("op_live_")
    assert set(made["device"]) == {"device_id", "username", "password", "url"}
    assert made["crm"]["api_key"].startswith("crm_live_")
    assert ask("init")["device"] is None


def test_init_makes_nothing_where_somebody_is_there_already(ask: Ask):
    ask("device", "add", "mine")
    assert ask("init")["operator"] is None
    assert ask("operator", "list") == []


def test_a_removed_device_does_not_make_the_database_new(ask: Ask):
    ask("device", "add", "mine")
    ask("device", "remove", "mine")
    assert ask("init")["device"] is None


def test_several_inits_at_once_make_one_set(database_url: str):
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "smsgw", "init", "--json"],
            cwd=ROOT,
            env=environment(SMSGW_DATABASE_URL=database_url),
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    made = [json.loads(process.communicate(timeout=60)[0]) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sum(one["device"] is not None for one in made) == 1


def test_a_relative_path_is_the_projects_wherever_one_stands(tmp_path: Path):
    name = f"data/test-{os.getpid()}.db"
    try:
        subprocess.run(
            [sys.executable, "-m", "smsgw", "init"],
            cwd=tmp_path,
            env=environment(SMSGW_DATABASE_URL=f"sqlite:///{name}", PYTHONPATH=str(ROOT)),
            check=True,
            capture_output=True,
        )
        assert (ROOT / name).exists()
        assert not list(tmp_path.iterdir())
    finally:
        for left in (ROOT / "data").glob(f"test-{os.getpid()}.db*"):
            left.unlink()


def test_db_check_and_upgrade(run: Run, ask: Ask, database: Database):
    checked = ask("db", "check")
    assert checked["up_to_date"]
    assert ask("db", "upgrade") == {"revision": checked["head"]}
    with database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    behind = run("db", "check")
    assert behind.exit_code == 1
    assert "db upgrade" in behind.output


@pytest.mark.parametrize("command", ["doctor", "db check", "device list"])
def test_tables_of_a_newer_version_are_left_to_that_version_or_a_backup(
    run: Run, database: Database, command: str
):
    with database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    told = run(*command.split())
    assert told.exit_code == 1
    assert "restore a backup from before the upgrade" in " ".join(told.output.split())
    assert "db upgrade" not in told.output


def test_a_command_on_a_new_database_says_what_to_run(run: Run, tmp_path: Path, monkeypatch):
    url = f"sqlite:///{tmp_path}/new.db"
    with closing(Database(url)) as database:
        database.create()
    monkeypatch.setenv("SMSGW_DATABASE_URL", url)
    result = run("device", "list")
    assert result.exit_code == 1
    assert result.output.splitlines() == [f"Error: the database is new: run {program.line('init')}"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "command", ["device list", "doctor", "db check", "send --crm a --to 1 --content x"]
)
def test_a_command_without_a_database_says_so_and_makes_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
):
    folder = tmp_path / "away"
    monkeypatch.setenv("SMSGW_DATABASE_URL", f"sqlite:///{folder}/smsgw.db")
    for _ in range(2):
        result = run(*command.split())
        assert result.exit_code == 1
        assert f"no database at {folder}/smsgw.db: is SMSGW_DATABASE_URL set as" in result.output
    assert not folder.exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", ["init", "db upgrade"])
def test_only_init_and_upgrade_make_a_database_and_not_beside_the_log_of_another(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
):
    path = tmp_path / "folder" / "new.db"
    monkeypatch.setenv("SMSGW_DATABASE_URL", f"sqlite:///{path}")
    log = tmp_path / "folder" / "new.db-wal"
    log.parent.mkdir()
    log.write_bytes(b"committed")
    refused = run(*command.split())
    assert refused.exit_code == 1
    assert "new.db-wal is left from a database whose file is away" in refused.output
    assert not path.exists()
    log.unlink()
    assert run(*command.split()).exit_code == 0
    assert run("db", "check").exit_code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("SMSGW_PORT", "x"), ("SMSGW_DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/x")],
)
def test_what_is_wrong_outside_is_one_line_and_exit_code_1(run: Run, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    result = run("device", "list")
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "hidden" not in result.output


def test_wrong_usage_is_exit_code_2(run: Run):
    for arguments in (
        ["nothing"],
        ["device", "add"],
        ["send", "--crm", "x"],
        ["crm", "route", "x"],
    ):
        assert run(*arguments).exit_code == 2


def test_settings_come_from_a_file_named_before_or_after_the_command_and_unknown_ones_are_named(
    tmp_path: Path,
):
    file = tmp_path / "smsgw.env"
    file.write_text(f"SMSGW_DATABASE_URL=sqlite:///{tmp_path}/x.db\nSMSGW_PROT=9000\n")
    variables = environment(PYTHONPATH=str(ROOT))
    for words in (["--env-file", file.name, "init"], ["device", "list", "--env-file", file.name]):
        command = [sys.executable, "-m", "smsgw", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
        )
        assert done.stderr == "warning: SMSGW_PROT is not a setting: did you mean SMSGW_PORT?\n"
        assert "phone-1" in done.stdout
    assert (tmp_path / "x.db").exists()
