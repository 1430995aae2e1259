"""Finds the hosts of a database URL whose certificates are not checked."""

import ipaddress
import os
from typing import TYPE_CHECKING

from ..lazy_imports import lazy

if TYPE_CHECKING:
    import psycopg
    from psycopg import conninfo
else:
    psycopg = lazy("psycopg")
    conninfo = lazy("psycopg.conninfo")

_VERIFYING = ("verify-ca", "verify-full")


def unverified_hosts(url: str) -> list[str]:
    """Return the hosts on a network whose certificate is not checked, so that anybody could pose as the database.

    libpq itself reads the URL, several hosts and its environment variables (`PGSSLMODE`, `PGHOST`) included.
    """
    try:
        given = conninfo.conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    except psycopg.ProgrammingError:
        return []
    settings = {**_defaults(), **given}
    # With the system's certificates libpq takes no weaker mode.
    if settings.get("sslmode") in _VERIFYING or settings.get("sslrootcert") == "system":
        return []
    hosts = str(settings.get("hostaddr") or settings.get("host") or "").split(",")
    return [host for host in hosts if not _is_local(host)]


def _defaults() -> dict[str, str]:
    """Return libpq's defaults, with its environment variables."""
    return {
        option.keyword.decode(): os.fsdecode(option.val)
        for option in psycopg.pq.Conninfo.get_defaults()
        if option.val
    }


def _is_local(host: str) -> bool:
    """Return whether the host is this machine: a socket's folder, or its own address."""
    if not host or host.startswith(("/", "@")) or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
