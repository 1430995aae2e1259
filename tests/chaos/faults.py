"""Faults of a machine below its programs: a wrong clock and a full disk, by a preloaded library."""

import mmap
import shutil
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent
_CONTROL = struct.Struct("=qq")


def can_be_made() -> bool:
    """Whether this machine can build the library and preload it."""
    return sys.platform == "linux" and shutil.which("gcc") is not None


@cache
def library(source: Path, folder: Path) -> Path:
    """The shared library of this C file, built into the folder."""
    made = folder / f"{source.stem}.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", made, source, "-ldl"], check=True)
    made.chmod(0o755)
    return made


class Machine:
    """What the programs of one machine see: how wrong the clock is, and whether the disk is full.

    `disk` is what the paths on that disk begin with.
    """

    def __init__(self, folder: Path, name: str, disk: str) -> None:
        self.environment: dict[str, str] = {}
        self._clock_offset = 0
        self._disk_is_full = False
        path = folder / f"{name}.control"
        path.write_bytes(_CONTROL.pack(0, 0))
        path.chmod(0o644)
        with path.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)
        if can_be_made():
            self.environment = {
                "LD_PRELOAD": str(library(SOURCES / "faults.c", folder)),
                "CHAOS_CONTROL": str(path),
                "CHAOS_DISK": disk,
            }

    def set_clock(self, seconds: int) -> None:
        """Let the clock be wrong by so many seconds from now on."""
        self._clock_offset = seconds
        self._write()

    def fill_disk(self, is_full: bool) -> None:
        """Let there be no room on the disk from now on, or room again."""
        self._disk_is_full = is_full
        self._write()

    def _write(self) -> None:
        self._control[:] = _CONTROL.pack(self._clock_offset, self._disk_is_full)


def preloaded(*environments: dict[str, str]) -> dict[str, str]:
    """These environments together, with the libraries of all."""
    together = {name: value for one in environments for name, value in one.items()}
    libraries = [one["LD_PRELOAD"] for one in environments if "LD_PRELOAD" in one]
    return {**together, **({"LD_PRELOAD": ":".join(libraries)} if libraries else {})}
