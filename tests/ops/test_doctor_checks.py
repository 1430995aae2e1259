"""What `doctor` finds out about the certificate at the public URL and about PostgreSQL's connections."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.operations import certificates, connections
from smsgw.core.operations.finding import Finding
from smsgw.settings import Settings
from smsgw.store.db import Database
from tests.conftest import missing
from tests.running import free_port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str, int], tuple[Path, int]]]:
    """Serve TLS with a certificate for this name that ends in so many days; gives its file and the port."""
    if shutil.which("openssl") is None:
        missing("needs the openssl command to make a certificate")
    listeners = []

    def start(name: str, days: int) -> tuple[Path, int]:
        files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days)]
        names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        subprocess.run([*command, *files, *names], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_shake_hands, args=(listener, context), daemon=True).start()
        return tmp_path / "cert.pem", listener.getsockname()[1]

    yield start
    for listener in listeners:
        listener.close()


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(1)


def _certificate(settings: Settings, port: int) -> Finding:
    public = replace(settings, public_url=f"https://localhost:{port}")
    (found,) = certificates.findings(public, clock.now())
    return found


@pytest.mark.parametrize(("days", "state"), [(13, "warning"), (60, "ok")])
def test_a_certificate_near_its_end_is_named_with_the_days_left(
    settings: Settings, serve, monkeypatch: pytest.MonkeyPatch, days: int, state: str
):
    file, port = serve("localhost", days)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    found = _certificate(settings, port)
    assert (found.check, found.state) == ("certificate", state)
    assert f"in {days - 1} days" in found.text
    assert ("renew it" in found.advice) == (state == "warning")


def test_a_certificate_that_phones_refuse_is_named_with_the_reason(
    settings: Settings, serve, monkeypatch: pytest.MonkeyPatch
):
    file, port = serve("other.example.org", 60)
    unknown = _certificate(settings, port)
    assert (unknown.state, "self" in unknown.text) == ("warning", True)
    assert "public CA" in unknown.advice
    assert "install" not in unknown.advice
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    wrong = _certificate(settings, port)
    assert (wrong.state, "localhost" in wrong.text) == ("wrong", True)


def test_an_address_that_cannot_be_reached_from_here_is_no_fault_and_plain_http_has_no_certificate(
    settings: Settings,
):
    found = _certificate(settings, free_port())
    assert (found.state, found.text.startswith("not checked: ")) == ("ok", True)
    assert list(certificates.findings(settings, clock.now())) == []
    plain = replace(settings, public_url="http://localhost")
    assert list(certificates.findings(plain, clock.now())) == []


def test_postgresql_must_accept_as_many_connections_as_the_processes_may_want(
    database: Database, settings: Settings
):
    many = replace(settings, workers=100)
    with database.reading() as session:
        found = list(connections.findings(session, many))
        if database.is_sqlite:
            assert found == []
            return
        (finding,) = found
        assert (finding.check, finding.state) == ("connections", "warning")
        assert "this machine may want 4205 connections" in finding.text
        assert "max_connections" in finding.advice
        few = replace(settings, workers=1, threads=2)
        (finding,) = connections.findings(session, few)
        assert finding.state == "ok"


def test_the_machines_that_are_connected_may_want_more_connections_together_than_one(
    database: Database, settings: Settings
):
    if database.is_sqlite:
        return
    few = replace(settings, workers=1, threads=2)
    with database.reading() as session:
        # Tests have PostgreSQL on one machine.
        session.execute(
            sa.text(
                """
                CREATE TEMP VIEW pg_stat_activity AS
                SELECT datname, usename, backend_type, application_name, address AS client_addr
                FROM pg_catalog.pg_stat_activity,
                unnest(ARRAY['10.0.0.11', '10.0.0.12', NULL]::inet[]) AS address;
                SET LOCAL search_path = pg_temp, pg_catalog
                """
            )
        )
        (finding,) = connections.findings(session, few)
    assert finding.text.endswith("the 3 connected machines may want 57")


def test_connections_that_are_nearly_used_up_are_a_fault(
    new_postgresql_url: str, settings: Settings
):
    name = sa.make_url(new_postgresql_url).database
    database = Database(new_postgresql_url)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} CONNECTION LIMIT 1")
        with database.reading() as session:
            (finding,) = connections.findings(session, settings)
    database.close()
    assert finding.state == "wrong"
    assert "of the 1 connections that PostgreSQL accepts are used" in finding.text
