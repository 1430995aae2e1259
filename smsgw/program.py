"""Spells commands as users can type them here, for hints and `--help`, and reports that the program is up."""

import os
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

_SCRIPT = "smsgw"


def line(command: str = "") -> str:
    """Spell a command of this program: `.venv/bin/python -m smsgw db upgrade`, or `smsgw db upgrade` once installed."""
    start = _installed_script() or f"{shlex.quote(_python())} -m smsgw"
    return f"{start} {command}".rstrip()


def server_line() -> str:
    """Spell the command that starts the server."""
    return line("serve") if _installed_script() else f"{shlex.quote(_python())} app.py"


def tell_served(descriptor: int | None) -> None:
    """Report to the parent process that this one serves, if it was given a descriptor for that."""
    if descriptor is not None:
        with suppress(OSError):  # the other end is gone
            os.write(descriptor, b".")


def _installed_script() -> str | None:
    """Return the console script that started this process, by its name alone where the shell finds the same one."""
    started = Path(sys.argv[0])
    if started.name != _SCRIPT:
        return None
    found = shutil.which(_SCRIPT)
    is_on_path = found is not None and Path(found).absolute() == started.absolute()
    return _SCRIPT if is_on_path else shlex.quote(str(started))


def _python() -> str:
    """Return the Python that runs, by its path from here where it lies below; do not follow a link to another one."""
    python, here = Path(sys.executable), Path.cwd()
    return str(python.relative_to(here) if python.is_relative_to(here) else python)
