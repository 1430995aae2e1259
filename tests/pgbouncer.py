"""PgBouncer as Debian packages it, started for a test before a PostgreSQL on a Unix socket."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from smsgw.server.address import note_path

from .running import PATIENCE_SECONDS, until

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
_PORT = 6432


def is_installed() -> bool:
    """Whether there is one to start."""
    return _PROGRAM is not None


@contextmanager
def pgbouncer(server: str, pool_mode: str, pool_size: int = 3, **settings: str) -> Iterator[str]:
    """A pooler on a Unix socket before the server with this URL; its own URL names the same database."""
    url = sa.make_url(server)
    folder = Path(tempfile.mkdtemp(prefix="smsgw-pooler-"))
    given = {
        "pool_mode": pool_mode,
        "default_pool_size": str(pool_size),
        "max_client_conn": "500",
        "auth_type": "any",
        "listen_addr": "",
        "listen_port": str(_PORT),
        "unix_socket_dir": str(folder),
        "pidfile": f"{folder}/pid",
        "logfile": f"{folder}/log",
        **settings,
    }
    lines = [f"{name} = {value}" for name, value in given.items()]
    database = f"* = host={url.query['host']} user={url.username}"
    configuration = folder / "pgbouncer.ini"
    configuration.write_text("\n".join(["[databases]", database, "[pgbouncer]", *lines, ""]))
    command = [str(_PROGRAM), str(configuration)]
    if os.getuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
        shutil.chown(folder, "postgres")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pooled = f"postgresql://{url.username}@/{url.database}?host={folder}&port={_PORT}"
    try:
        until((folder / f".s.PGSQL.{_PORT}").exists, "PgBouncer to listen")
        yield pooled
    finally:
        note_path(pooled).unlink(missing_ok=True)
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        shutil.rmtree(folder)
