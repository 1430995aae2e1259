"""Which databases may be somebody else's."""

import pytest

from smsgw.store.encryption import unverified_hosts


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@db.example.org/x", ["db.example.org"]),
        ("postgresql+psycopg://u:p@db.example.org/x", ["db.example.org"]),
        ("postgresql://u@a:1,b:2/x", ["a", "b"]),
        ("postgresql://u@localhost,db/x", ["db"]),
        ("postgresql://u@db/x?sslmode=require", ["db"]),
        ("postgresql://u@db/x?sslmode=prefer", ["db"]),
        ("postgresql:///x?host=db.example.org", ["db.example.org"]),
        ("postgresql:///x?hostaddr=10.0.0.1", ["10.0.0.1"]),
        ("postgresql://localhost/x?hostaddr=10.0.0.1", ["10.0.0.1"]),
        ("postgresql://u@[fd00::1]/x", ["fd00::1"]),
        ("postgresql://u@db/x?sslmode=verify-full", []),
        ("postgresql://u@a,b/x?sslmode=verify-ca", []),
        ("postgresql://u@db/x?sslrootcert=system", []),
        ("postgresql:///x", []),
        ("postgresql:///x?host=/var/run/postgresql", []),
        ("postgresql://u@%2Fvar%2Frun/x", []),
        ("postgresql://u@localhost/x", []),
        ("postgresql://u@127.0.0.2/x", []),
        ("postgresql://u@[::1]:5432/x", []),
    ],
)
def test_a_host_over_a_network_whose_certificate_nobody_checks_is_named(url, hosts, monkeypatch):
    for name in ("PGSSLMODE", "PGHOST", "PGHOSTADDR", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    assert unverified_hosts(url) == hosts


def test_the_variables_of_libpq_count(monkeypatch):
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert unverified_hosts("postgresql://u@db/x") == []
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGHOST", "db.example.org")
    assert unverified_hosts("postgresql:///x") == ["db.example.org"]
