"""PostgreSQL as Debian packages it, started for a test as the user `postgres`."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smsgw.server.address import note_path

_INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def is_installed() -> bool:
    """Whether there is one to start."""
    return bool(_INSTALLED)


@contextmanager
def postgresql() -> Iterator[str]:
    """A new server that listens on a Unix socket alone; its URL names the empty database `smsgw`."""
    folder = tempfile.mkdtemp(prefix="smsgw-debian-")
    data = f"{folder}/data"
    url = f"postgresql://postgres@/smsgw?host={folder}"
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        _run("initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        _run("pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        _run("createdb", "-h", folder, "-U", "postgres", "smsgw")
        yield url
    finally:
        note_path(url).unlink(missing_ok=True)
        _run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _run(program: str, *arguments: str) -> None:
    command = [str(_INSTALLED[-1].parent / program), *arguments]
    if os.getuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)
