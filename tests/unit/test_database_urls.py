"""URLs of databases: several hosts, ports, drivers; what is wrong is said in one line that shows no password."""

import subprocess
import sys

import psycopg
import pytest
import sqlalchemy as sa

from smsgw import logs
from smsgw.database_urls import BadDatabaseUrl, postgresql
from smsgw.store import engines

from ..running import ROOT, environment


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@a:1,b:2/x",
        "postgres://u:p@a:1,b:2/x",
        "postgresql+psycopg://u:p@a:1,b:2/x",
        "postgresql://u:p@/x?host=a:1&host=b:2",
        "postgresql://u:p@/x?host=a&host=b&port=1&port=2",
        "postgresql://u:p@/x?host=a,b&port=1,2",
    ],
)
def test_several_hosts_are_the_same_however_they_are_written(url: str):
    made = postgresql(f"{url}{'&' if '?' in url else '?'}target_session_attrs=read-write")
    engine = engines.postgresql(sa.make_url(made), 1)
    wanted = {"user": "u", "password": "p", "dbname": "x", "host": "a,b", "port": "1,2"}
    assert engines.postgresql_options(engine).items() >= wanted.items()
    libpq = psycopg.conninfo.conninfo_to_dict(made)
    assert libpq == {**wanted, "target_session_attrs": "read-write"}


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://a,b:2/x", "a,b", "5432,2"),
        ("postgresql://[::1]:1,[::2]/x", "::1,::2", "1,5432"),
        ("postgresql:///x?host=a,b&port=7", "a,b", "7,7"),
    ],
)
def test_ports_that_are_left_out_are_the_usual_one(url: str, hosts: str, ports: str):
    engine = engines.postgresql(sa.make_url(postgresql(url)), 1)
    options = engines.postgresql_options(engine)
    assert (options["host"], options["port"]) == (hosts, ports)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40q@db.example.org:5433/x?sslmode=verify-full",
        "postgresql://u:p@/x?host=/var/run/postgresql",
        "postgresql:///x",
        "postgresql://localhost",
    ],
)
def test_one_host_stays_as_it_is(url: str):
    assert postgresql(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@a:x/x",
        "postgresql://u:secret@a:70000/x",
        "postgresql://u:secret@a:0/x",
        "postgresql://u:secret@a:1,b:99999/x",
        "postgresql://u:secret@/x?host=a,b&port=1,2,3",
        "postgresql://u:secret@/x?host=a&port=b",
        "postgresql+psycopg2://u:secret@a/x",
        "postgresql://u:p@secret@a/x",
        "postgresql://u:p@secret@a:1,b:2/x",
        "mysql://u:secret@a/x",
        "postgresql:u:secret@a/x",
        "secret",
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str):
    with pytest.raises(BadDatabaseUrl) as caught:
        postgresql(url)
    assert "secret" not in str(caught.value)


def test_passwords_are_left_out_of_log_lines_wherever_a_url_has_them():
    for url in ("postgresql://u:se/cret@a:1,b:2/x", "postgresql:///x?user=u&password=secret&x=y"):
        assert "cret" not in logs.redact(f"cannot open {url} now")


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("postgresql://u:secret@127.0.0.1:1,127.0.0.1:2/x", "app.py"),
        ("postgresql://u:secret@127.0.0.1:99999/x", "app.py"),
        ("postgresql://u:secret@127.0.0.1:1/x?no_such_option=1", "-m smsgw device list"),
        ("mysql://u:secret@a/x", "-m smsgw init"),
        ("sqlite:////dev/null/x.db", "app.py"),
        ("sqlite:////dev", "-m smsgw device list"),
        ("sqlite:////proc/x/y.db", "-m smsgw init"),
        ("sqlite:///no.db?timeout=soon", "-m smsgw init"),
        ("sqlite:///file:no.db?mode=ro&uri=true", "app.py"),
    ],
)
def test_a_start_or_command_that_cannot_use_it_ends_with_one_line(url: str, command: str):
    found = subprocess.run(
        [sys.executable, *command.split()],
        cwd=ROOT,
        env=environment(SMSGW_DATABASE_URL=url, SMSGW_PORT="0", SMSGW_HOST="127.0.0.1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 1, found.stderr
    assert "Traceback" not in found.stderr
    assert "secret" not in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
