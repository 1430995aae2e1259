"""Runs PostgreSQL's own programs on a database; its password is never in a command line."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from .. import environment
from ..errors import GatewayError
from ..lazy_imports import lazy
from ..logs import redact
from . import engines, outages

if TYPE_CHECKING:
    from psycopg import conninfo
else:
    conninfo = lazy("psycopg.conninfo")

# Where Debian and Red Hat keep the programs of each version.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_SERVER_VERSION: sa.TextClause = sa.text("SELECT current_setting('server_version_num')::int")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class ProgramFailed(GatewayError):
    """A program of PostgreSQL is missing, too old, or failed."""

    code = "program_failed"


class Programs:
    """The programs of one folder, which are not older than the server that they are for."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder

    def run(self, name: str, *arguments: str, is_connected: bool = True) -> str:
        """Run a program to its end and return what it printed; raise `ProgramFailed` with its last line."""
        command = self.command(name, *arguments, is_connected=is_connected)
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=self.environment(),
        )
        if ended.returncode:
            raise failure(name, ended.stderr)
        return ended.stdout

    def command(self, name: str, *arguments: str, is_connected: bool = True) -> list[str]:
        """Return the command line."""
        options = engines.postgresql_options(self._engine)
        # psycopg's own option, and the secrets.
        shown = {
            key: text for key, text in options.items() if key != "context" and "password" not in key
        }
        target = ["--no-password", f"--dbname={conninfo.make_conninfo(**shown)}"]
        return [str(self._folder / name), *arguments, *(target if is_connected else [])]

    def environment(self) -> dict[str, str]:
        """Return the environment, with the password."""
        password = engines.postgresql_options(self._engine).get("password")
        return environment.with_values({"PGPASSWORD": password} if password else {})


def find(connection: Connection) -> Programs:
    """Return programs that are not older than the server; raise `ProgramFailed`, which says what to install."""
    server_version = connection.scalars(_SERVER_VERSION).one() // 10_000
    on_path = shutil.which("pg_dump")
    versions = {
        folder: version
        for folder in [*([Path(on_path).parent] if on_path else []), *_installed()]
        if (version := _version(folder / "pg_dump"))
    }
    new_enough = [folder for folder, version in versions.items() if version >= server_version]
    if new_enough:
        return Programs(connection.engine, new_enough[0])
    found = f"is version {max(versions.values())}" if versions else "is not installed"
    raise ProgramFailed(
        f"pg_dump {found} and the server is version {server_version}: "
        f"install PostgreSQL's programs (Debian: apt install postgresql-client-{server_version})"
    )


def failure(name: str, text: str) -> ProgramFailed:
    """Return the error with the first line that says what went wrong, and what to do where that is known."""
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()] or ["it failed"]
    said = next((line for line in lines if "error" in line.lower()), lines[-1])
    text = outages.with_remedy(redact(said).removeprefix(f"{name}: "))
    return ProgramFailed(f"{name}: {text}")


def _installed() -> list[Path]:
    return sorted(
        (folder for pattern in _FOLDERS for folder in Path("/").glob(pattern[1:])), reverse=True
    )


def _version(program: Path) -> int | None:
    if not program.is_file():
        return None
    ended = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(ended.stdout)
    return int(found[1]) if found else None
