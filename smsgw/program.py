"""How this program is started: what to type, for hints and for `--help`; and that it is up."""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path


def line(command: str = "") -> str:
    """A command as it can be typed here: `.venv/bin/python -m smsgw db upgrade`."""
    return f"{shlex.quote(_python())} -m smsgw {command}".rstrip()


def server_line() -> str:
    """The same for what starts the server."""
    return f"{shlex.quote(_python())} app.py"


def tell_served(descriptor: int | None) -> None:
    """Tell who started this process, where somebody gave it a descriptor for that, that it does its work."""
    if descriptor is not None:
        with suppress(OSError):  # the other end is gone
            os.write(descriptor, b".")


def _python() -> str:
    """The Python that runs, by its path from here where it lies below; a link to another one stays what it is."""
    python, here = Path(sys.executable), Path.cwd()
    return str(python.relative_to(here) if python.is_relative_to(here) else python)
